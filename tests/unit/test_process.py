"""Jobs as processes: what they say when they fail, and that nothing of them is left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from support.records import step_of
from ttsrl.errors import BadInput, Failure
from ttsrl.records.record import append_lines
from ttsrl.runtime.follow import counts, follow, steps
from ttsrl.runtime.job import ROOT, Job, Tail, last_words, stop_all
from ttsrl.runtime.progress import Progress

FAMILY = """
import os, signal, subprocess, sys, time
mark = sys.argv[1]
daemon = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
# a grandchild that leaves its parent and its session, as Ray's daemons do
subprocess.run([sys.executable, "-c", "import subprocess, sys; subprocess.Popen("
    f"[sys.executable, '-c', {daemon!r}, {mark!r}], start_new_session=True)"])
if "stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(0 if "short" in sys.argv else 60)
"""


@pytest.fixture
def modules(tmp_path: Path) -> Path:
    """A folder whose modules jobs can import."""
    (tmp_path / "family.py").write_text(FAMILY)
    (tmp_path / "says.py").write_text(
        "import sys\nprint(sys.argv[1].replace('|', '\\n'))\nsys.exit(int(sys.argv[2]))\n"
    )
    return tmp_path


def start(modules: Path, module: str, *arguments: str) -> Job:
    environment = {"PYTHONPATH": str(modules)}
    return Job("job", module, arguments, modules / "logs" / "job.log", environment)


def alive(mark: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        if mark in (process.info["cmdline"] or []) and process.info["status"] != "zombie":
            found.append(process)
    return found


def wait_for(job: Job, line: str) -> None:
    deadline = time.monotonic() + 20
    while line not in job.output.lines():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def wait_until_gone(mark: str) -> None:
    deadline = time.monotonic() + 20
    while alive(mark):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("kind", ["obedient", "stubborn"])
def test_stopping_a_job_ends_its_whole_family(
    modules: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ttsrl.runtime.job.GRACE_S", 0.5)
    mark = f"{modules}-{kind}"
    job = start(modules, "family", mark, kind)
    wait_for(job, "ready")
    assert len(alive(mark)) >= 2
    stop_all([job])
    assert not alive(mark)


def test_a_job_that_ends_takes_its_daemons_with_it(modules: Path) -> None:
    mark = f"{modules}-short"
    job = start(modules, "family", mark, "short")
    follow(job)
    assert "ready" in job.output.lines()
    assert not alive(mark)


def test_a_killed_parent_leaves_nothing(modules: Path) -> None:
    mark = f"{modules}-orphan"
    parent = modules / "parent.py"
    parent.write_text(
        "import sys, time\nfrom pathlib import Path\nfrom ttsrl.runtime import job as jobs\n"
        "jobs.GRACE_S = 0.5\n"
        f"here = Path({str(modules)!r})\n"
        f"job = jobs.Job('job', 'family', [{mark!r}, 'stubborn'], here / 'job.log',"
        " {'PYTHONPATH': str(here)})\n"
        "while 'ready' not in job.output.lines(): time.sleep(0.02)\n"
        "print('up', flush=True)\ntime.sleep(60)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, parent], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        assert alive(mark)
        process.send_signal(signal.SIGKILL)
    wait_until_gone(mark)


@pytest.mark.parametrize(
    ("code", "said", "kind", "message"),
    [
        ("2", "noise|error: no model at x; give a folder", BadInput, "no model at x; give a"),
        ("1", "noise|error: the disk is full", Failure, "job failed with exit code 1:\n"),
        ("1", "Traceback|  File a|ValueError: bad|bye", Failure, "ValueError: bad\n"),
        ("1", "(Task pid=3) RuntimeError: deep|bye", Failure, "RuntimeError: deep\n"),
        ("3", "one|two", Failure, "one\n  two\n"),
        ("137", "", Failure, "was killed"),
        ("130", "", KeyboardInterrupt, ""),
    ],
)
def test_a_failed_job_is_told_by_the_lines_that_matter(
    modules: Path, code: str, said: str, kind: type[BaseException], message: str
) -> None:
    log = modules / "logs" / "job.log"
    log.parent.mkdir()
    log.write_text("error: of an earlier session\n")
    job = start(modules, "says", said, code)
    with pytest.raises(kind) as error:
        follow(job)
    assert message in str(error.value)
    assert "earlier" not in str(error.value)
    if kind is Failure:
        assert str(log) in str(error.value)


def test_a_full_disk_is_named_where_a_job_failed_on_it(
    modules: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = start(modules, "says", "RuntimeError: basic_ios::clear: iostream error", "1")
    monkeypatch.setattr("ttsrl.runtime.job.free_disk_bytes", lambda _: 5_900_000)
    with pytest.raises(Failure, match=rf"6 MB free on the disk of {job.log.parent}.*goes on"):
        follow(job)


def test_a_job_that_a_signal_ends_is_a_failure(modules: Path) -> None:
    (modules / "dies.py").write_text("import os\nos.kill(os.getpid(), 9)\n")
    with pytest.raises(Failure, match="was killed"):
        follow(start(modules, "dies"))


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
    modules: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (modules / "train").mkdir()
    records = [
        step_of(1, reward=0.25, raw={"cer": 0.5}, length_tokens=20.0, seconds=2.0),
        step_of(2, reward=None, length_tokens=21.5, seconds=4.0),
    ]
    last = None
    with Progress() as progress:
        job = start(modules, "says", "waiting for rewards|step 1/62  reward 0.25", "0")
        look = steps(job, modules, progress.stage("train"), 62)
        follow(job, look)
        for record in records:
            append_lines(modules / "train" / "steps.jsonl", [record])
            last = look()
        job = start(modules, "says", "evaluated 3/10|evaluated x", "0")
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
