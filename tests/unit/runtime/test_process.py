"""Jobs as processes: what they say when they fail, and that nothing of them is left behind."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from support.job_functions import dies, fails, family, open_files, says, with_tests
from support.records import step_of
from ttsrl.errors import BadInput, Failure, Stopped
from ttsrl.records.record import append_lines
from ttsrl.runtime.follow import counts, follow, steps
from ttsrl.runtime.job import Job, Tail, last_words, stop_all
from ttsrl.runtime.progress import Progress


def start(folder: Path, function: Callable[..., int | None], *arguments: object) -> Job:
    return Job("job", function, arguments, folder / "logs" / "job.log", with_tests())


def alive(mark: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        if mark in (process.info["cmdline"] or []) and process.info["status"] != "zombie":
            found.append(process)
    return found


def wait_until_ready(job: Job) -> int:
    """The PID that `family` says."""
    deadline = time.monotonic() + 120
    while not (said := [line for line in job.output.lines() if line.startswith("ready ")]):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return int(said[0].removeprefix("ready "))


def wait_until_gone(mark: str) -> None:
    deadline = time.monotonic() + 120
    while alive(mark):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def wait_until_ended(pid: int) -> None:
    """An orphan is left to PID 1, which may leave it a zombie."""
    deadline = time.monotonic() + 120
    with suppress(psutil.NoSuchProcess):
        while psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.mark.parametrize("kind", ["obedient", "stubborn"])
def test_stopping_a_job_ends_its_whole_family(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ttsrl.runtime.job.GRACE_S", 0.5)
    mark = f"{tmp_path}-{kind}"
    job = start(tmp_path, family, mark, kind)
    pid = wait_until_ready(job)
    assert psutil.pid_exists(pid)
    assert alive(mark)
    stop_all([job])
    assert not alive(mark)
    assert not psutil.pid_exists(pid)


def test_a_job_that_ends_takes_its_daemons_with_it(tmp_path: Path) -> None:
    mark = f"{tmp_path}-short"
    job = start(tmp_path, family, mark, "short")
    follow(job)
    assert "ready" in job.log.read_text()
    assert not alive(mark)


def test_a_killed_parent_leaves_nothing(tmp_path: Path) -> None:
    mark = f"{tmp_path}-orphan"
    parent = tmp_path / "parent.py"
    parent.write_text(
        "import time\nfrom pathlib import Path\nfrom support.job_functions import family\n"
        "from ttsrl.runtime import job as jobs\n"
        "jobs.GRACE_S = 0.5\n"
        f"job = jobs.Job('job', family, ({mark!r}, 'stubborn'), Path({str(tmp_path)!r}) / 'log')\n"
        "while not (said := job.output.lines()): time.sleep(0.02)\n"
        "print(said[0], flush=True)\ntime.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, parent],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | with_tests(),
    ) as process:
        assert process.stdout is not None
        ready, pid = process.stdout.readline().split()
        assert ready == "ready"
        assert alive(mark)
        process.send_signal(signal.SIGKILL)
    wait_until_gone(mark)
    wait_until_ended(int(pid))  # the reaper ends the job and its daemon in no given order


@pytest.mark.parametrize(
    ("code", "said", "kind", "message"),
    [
        (2, "noise|error: no model at x; give a folder", BadInput, "no model at x; give a"),
        (1, "noise|error: the disk is full", Failure, "job failed with exit code 1:\n"),
        (1, "Traceback|  File a|ValueError: bad|bye", Failure, "ValueError: bad\n"),
        (1, "(Task pid=3) RuntimeError: deep|bye", Failure, "RuntimeError: deep\n"),
        (4, "one|two", Failure, "one\n  two\n"),
        (3, "one|stopped: guard pitch at step 7: it fell", Stopped, "guard pitch at step 7"),
        (137, "", Failure, "was killed"),
        (130, "", KeyboardInterrupt, ""),
    ],
)
def test_a_failed_job_is_told_by_the_lines_that_matter(
    tmp_path: Path, code: int, said: str, kind: type[BaseException], message: str
) -> None:
    log = tmp_path / "logs" / "job.log"
    log.parent.mkdir()
    log.write_text("error: of an earlier session\n")
    job = start(tmp_path, says, said, code)
    with pytest.raises(kind) as error:
        follow(job)
    assert message in str(error.value)
    assert "earlier" not in str(error.value)
    if kind is Failure:
        assert str(log) in str(error.value)


def test_a_full_disk_is_named_where_a_job_failed_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = start(tmp_path, says, "RuntimeError: basic_ios::clear: iostream error", 1)
    monkeypatch.setattr("ttsrl.runtime.job.free_disk_bytes", lambda _: 5_900_000)
    with pytest.raises(
        Failure, match=rf"6 MB free on the disk of {job.log.parent}.*the same command resumes"
    ):
        follow(job)


def test_a_job_that_a_signal_ends_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="was killed"):
        follow(start(tmp_path, dies))


def test_what_a_job_did_not_foresee_is_told_and_its_traceback_is_in_the_log(tmp_path: Path) -> None:
    job = start(tmp_path, fails, "no such luck")
    with pytest.raises(Failure, match=r"exit code 1:\n  ValueError: no such luck\n  log: "):
        follow(job)
    assert "Traceback" in job.log.read_text()


def test_a_job_begins_with_its_three_streams_alone(tmp_path: Path) -> None:
    job = start(tmp_path, open_files)
    follow(job)
    assert json.loads(job.log.read_text()) == [0, 1, 2]


def test_a_job_works_in_our_folder_and_imports_nothing_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pickle.py").write_text("raise RuntimeError('a module of the user')\n")
    monkeypatch.chdir(tmp_path)
    job = start(tmp_path, says, "well", 0)
    follow(job)
    assert job.log.read_text() == "well\n"


def test_the_last_words_are_errors_before_anything_else() -> None:
    assert last_words("a\nerror: x\n  y\n\n") == ["error: x", "  y"]
    assert last_words("KeyError: 1\nb\nKeyError: 1\n") == ["KeyError: 1"]
    assert last_words("\n".join("abcdefg")) == list("cdefg")


def test_a_tail_gives_whole_lines_once_and_begins_anew_with_a_new_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    tail = Tail(path)
    assert tail.lines() == []
    path.write_text("one\ntw")
    assert tail.lines() == ["one"]
    path.write_text("one\ntwo\nthree\n")
    assert tail.lines() == ["two", "three"]
    path.write_text("four\n")
    assert tail.lines() == ["four"]


def test_progress_in_a_log_is_one_line_a_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "train").mkdir()
    records = [
        step_of(1, reward=0.25, raw={"cer": 0.5}, length_tokens=20.0, seconds=2.0),
        step_of(2, reward=None, length_tokens=21.5, seconds=4.0),
    ]
    last = None
    with Progress() as progress:
        job = start(tmp_path, says, "waiting for rewards|step 1/62  reward 0.25", 0)
        look = steps(job, tmp_path, progress.stage("train"), 62)
        follow(job, look)
        last = None
        for record in records:
            append_lines(tmp_path / "train" / "steps.jsonl", [record])
            last = look()
        job = start(tmp_path, says, "evaluated 3/10|evaluated x", 0)
        stage = progress.stage("evaluate")
        follow(job, counts(job, stage))
        stage.finish("CER 0.1")
    assert last is not None
    assert last.step == 2
    said = capsys.readouterr().out
    assert "train: 0/62 waiting for rewards\n" in said
    assert said.count("reward 0.25") == 1
    assert "train: 1/62 reward 0.250  CER 0.500  tokens 20.0  2.0 s/step  ETA 2:02\n" in said
    assert "train: 2/62 tokens 21.5  3.0 s/step  ETA 3:00\n" in said
    assert "evaluate: done in 0:0" in said
    assert said.endswith("CER 0.1\n")
