"""What a quickstart remembers: finished stages, one at a time, one configuration a folder."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from support.paths import TINY
from ttsrl.config.schema import RunConfig
from ttsrl.errors import BadInput
from ttsrl.quickstart.stages import free_url
from ttsrl.quickstart.state import QuickstartState, forget
from ttsrl.runtime.hold import hold_run

RUN: dict[str, Any] = {
    "name": "r",
    "model": str(TINY / "policy"),
    "codec": str(TINY / "codec"),
    "data": {"texts": "texts.jsonl"},
    "train": {"steps": 3},
    "reward": {"whisper": {"model": str(TINY / "whisper")}},
    "eval": {"judges": [{"name": "j", "type": "ctc", "model": str(TINY / "judge")}]},
}

TINY_QUICKSTART = """
import json, sys, time
from pathlib import Path
from ttsrl.quickstart.run import quickstart
from ttsrl.quickstart.stages import StageOfRun
from ttsrl.config.schema import RunConfig
from ttsrl.runtime.exit_codes import exit_code
from ttsrl.runtime.follow import follow
from ttsrl.runtime.job import Job
from worker import work

here, work_dir, fresh = Path(sys.argv[1]), Path(sys.argv[2]), "fresh" in sys.argv

def stage(name):
    def run(session, shown):
        job = Job(name, work, (name, work_dir), work_dir / "logs" / f"{name}.log")
        session.jobs.append(job)
        follow(job)
        return f"did {name}"
    return StageOfRun(name, f"{name}.txt", run)

run = RunConfig.model_validate_json((here / "run.json").read_text())
sys.exit(exit_code(lambda: quickstart(
    run, work_dir, [stage("one"), stage("two"), stage("three")], local_storage="s3" in sys.argv,
    fresh=fresh)))
"""

WORKER = """
import time
from pathlib import Path

def work(name, work_dir):
    with (work_dir / "trace").open("a") as file:
        file.write(f"{name}\\n")
    gate = Path(__file__).with_name(f"hold-{name}")
    while gate.exists():
        time.sleep(0.05)
    (work_dir / f"{name}.txt").touch()
"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    folder = tmp_path / "a b"
    folder.mkdir()
    (folder / "tiny.py").write_text(TINY_QUICKSTART)
    (folder / "worker.py").write_text(WORKER)
    (folder / "texts.jsonl").write_text('{"text": "hello"}\n')
    data = {"texts": str(folder / "texts.jsonl")}
    (folder / "run.json").write_text(json.dumps(RUN | {"data": data}))
    return folder


def begin(here: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, here / "tiny.py", here, here / "runs" / "r", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(here), *sys.path])},
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def trace(here: Path) -> list[str]:
    path = here / "runs" / "r" / "trace"
    return path.read_text().split() if path.exists() else []


def wait_for_trace(here: Path, expected: list[str]) -> None:
    deadline = time.monotonic() + 300
    while trace(here) != expected:
        assert time.monotonic() < deadline, trace(here)
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_same_command_goes_on_where_an_interrupted_one_ended(here: Path, number: int) -> None:
    (here / "hold-two").touch()
    first = begin(here)
    wait_for_trace(here, ["one", "two"])
    first.send_signal(number)
    code, _, err = finish(first)
    if number == signal.SIGKILL:
        assert code == -signal.SIGKILL
    else:
        assert code == 130
        assert "the same command resumes" in err
    (here / "hold-two").unlink()

    code, out, err = finish(begin(here))
    assert (code, err) == (0, "")
    assert trace(here) == ["one", "two", "two", "three"]
    assert "one: done before: did one" in out

    code, out, _ = finish(begin(here))
    assert code == 0
    assert trace(here) == ["one", "two", "two", "three"]

    (here / "runs" / "r" / "two.txt").unlink()
    assert finish(begin(here))[0] == 0
    assert trace(here)[4:] == ["two"]


def test_only_one_at_a_time_works_in_a_folder(here: Path) -> None:
    (here / "hold-one").touch()
    first = begin(here)
    wait_for_trace(here, ["one"])
    code, _, err = finish(begin(here))
    assert code == 2
    assert f"another command (process {first.pid}) trains in {here / 'runs' / 'r'}" in err
    assert "--set name=other" in err
    first.kill()
    finish(first)
    (here / "hold-one").unlink()
    assert finish(begin(here))[0] == 0


def test_a_failed_stage_is_told_and_done_again(here: Path) -> None:
    worker = (here / "worker.py").read_text()
    (here / "worker.py").write_text(
        "def work(name, work_dir):\n    raise ValueError('no such luck')\n"
    )
    code, _, err = finish(begin(here))
    assert code == 1
    assert "one failed with exit code 1" in err
    assert "ValueError: no such luck" in err
    assert "Traceback" not in err
    assert str(here / "runs" / "r" / "logs" / "one.log") in err
    (here / "worker.py").write_text(worker)
    assert finish(begin(here))[0] == 0
    assert trace(here) == ["one", "two", "three"]


def test_a_run_that_a_guard_stops_ends_with_exit_code_3_and_a_report(here: Path) -> None:
    (here / "worker.py").write_text(
        "from ttsrl.errors import Stopped\n"
        "def work(name, work_dir):\n    raise Stopped('guard pitch at step 7: it is flat')\n"
    )
    code, _, err = finish(begin(here))
    assert code == 3
    assert err.splitlines()[-1] == "stopped: guard pitch at step 7: it is flat"
    assert (here / "runs" / "r" / "report.html").is_file()


def test_another_configuration_in_the_folder_is_refused_until_a_fresh_start(here: Path) -> None:
    assert finish(begin(here, "s3"))[0] == 0
    published = here / "runs" / "r" / "s3" / "ttsrl" / "old"
    published.touch()
    changed = json.loads((here / "run.json").read_text()) | {"train": {"steps": 4}}
    (here / "run.json").write_text(json.dumps(changed))
    code, _, err = finish(begin(here, "s3"))
    assert code == 2
    assert "train.steps is 3 there, 4 here" in err
    assert "--fresh" in err
    assert trace(here) == ["one", "two", "three"]
    assert finish(begin(here, "s3", "fresh"))[0] == 0
    assert trace(here) == ["one", "two", "three"]
    assert not published.exists()


def run_config(texts: Path, **more: object) -> RunConfig:
    return RunConfig.model_validate(RUN | {"data": {"texts": str(texts)}} | more)


def test_the_state_knows_its_inputs_and_whose_folder_it_is(here: Path) -> None:
    texts, work_dir = here / "texts.jsonl", here / "runs"
    work_dir.mkdir()
    QuickstartState(work_dir, run_config(texts)).finish("one", "well", 1.0)
    again = QuickstartState(work_dir, run_config(texts))
    assert again.is_finished("one", work_dir)
    assert again.note("one") == "well"
    assert not again.is_finished("one", work_dir / "missing")
    assert not again.is_finished("two", work_dir)
    texts.write_text('{"text": "other"}\n')
    with pytest.raises(BadInput, match=r"texts\.jsonl has changed.*--fresh"):
        QuickstartState(work_dir, run_config(texts))

    encoder, listed = here / "encoder", here / "list.jsonl"
    encoder.write_text("1")
    listed.write_text("1")
    component = {"type": "preference", "model": "head", "encoder": str(encoder)}
    reward = {"whisper": {"model": "w"}, "components": [component]}
    suite = {"name": "s", "type": "jsonl", "path": str(listed), "language": "en"}
    judges = [{"name": "j", "type": "ctc", "model": "j"}]
    more = {"reward": reward, "eval": {"judges": judges, "suites": [suite]}}
    (here / "more").mkdir()
    QuickstartState(here / "more", run_config(texts, **more)).begin()
    encoder.write_text("2")
    listed.write_text("2")
    with pytest.raises(BadInput, match=r"encoder has changed; .*list\.jsonl has changed"):
        QuickstartState(here / "more", run_config(texts, **more))

    foreign = here / "foreign"
    foreign.mkdir()
    (foreign / "run.json").write_text("{}")
    with pytest.raises(BadInput, match=r"no quickstart began.*--fresh"):
        QuickstartState(foreign, run_config(texts))


def test_what_cannot_begin_leaves_no_trace(here: Path) -> None:
    config = json.loads((here / "run.json").read_text())
    (here / "empty").mkdir()
    wrong = {
        "codec": "/nowhere/codec",
        "model": str(here / "empty"),
        "eval": {"judges": [{"name": "j", "type": "ctc", "model": "../judges/a"}]},
        "storage": "gs://bucket",
        "reward": config["reward"] | {"url": "http://reward:80"},
        "verl": {"data.train_batch_size": 7},
    }
    for key, value in wrong.items():
        (here / "run.json").write_text(json.dumps(config | {key: value}))
        code, out, err = finish(begin(here))
        assert (code, out) == (2, "")
        assert err.startswith(f"error: {key}")
        assert not (here / "runs").exists()

    # a folder is a configuration's only once it has begun
    work_dir = here / "runs"
    work_dir.mkdir()
    QuickstartState(work_dir, run_config(here / "texts.jsonl"))
    QuickstartState(work_dir, run_config(here / "texts.jsonl", train={"steps": 4})).begin()
    with pytest.raises(BadInput, match=r"train\.steps is 4 there, 3 here"):
        QuickstartState(work_dir, run_config(here / "texts.jsonl"))


def test_forgetting_leaves_the_lock_alone(here: Path) -> None:
    with hold_run(here):
        forget(here)
        assert [path.name for path in here.iterdir()] == [".lock"]


def test_the_reward_service_takes_another_port_where_its_own_is_taken() -> None:
    first = free_url("http://127.0.0.1:0")
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = f"http://127.0.0.1:{server.getsockname()[1]}"
        assert free_url(taken) != taken
    assert first.startswith("http://127.0.0.1:")
    with pytest.raises(BadInput, match=r"reward\.url = http://reward:80.*leave the key out"):
        free_url("http://reward:80")
