"""What a pod of a RayJob does before it goes: training is asked to end once, and waited for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from support.paths import TINY
from ttsrl.config.load import dump_run, load_run
from ttsrl.errors import BadInput, Failure, Stopped
from ttsrl.storage.run_store import RunStore
from ttsrl.training import leaving, ray_driver
from ttsrl.training.leaving import ASKED, MARK, ask_head, leave, mark

ENDED = "error: 3 starts in a row without a new checkpoint"
DRIVER = """
import signal, sys, time
from pathlib import Path
from ttsrl.training.leaving import mark
folder = Path(sys.argv[1])
signal.signal(signal.SIGTERM, lambda *_: (folder / "asked").open("a").write("x"))
mark(folder)
print("ready", flush=True)
while not (folder / "may-end").exists():
    time.sleep(0.01)
"""


@pytest.fixture
def work_dir(tmp_path: Path) -> Path:
    return tmp_path / "work"


def test_training_is_asked_once_and_waited_for(work_dir: Path) -> None:
    command = [sys.executable, "-c", DRIVER, str(work_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout is not None
        driver.stdout.readline()
        assert leave(work_dir, 0.1) == "training has not ended within 0 s"
        assert leave(work_dir, 0.1) == "training has not ended within 0 s"
        (work_dir / "may-end").touch()
        assert leave(work_dir, 120) == "training has ended"
    # a second SIGTERM would have ended it in the middle of its checkpoint
    assert (work_dir / "asked").read_text() == "x"


def test_another_process_of_the_same_number_is_left_alone(work_dir: Path) -> None:
    assert leave(work_dir, 0) == "nothing trains here"
    mark(work_dir)
    said = json.loads((work_dir / MARK).read_text())
    assert said["pid"] == psutil.Process().pid
    (work_dir / MARK).write_text(json.dumps({**said, "started": said["started"] - 100}))
    assert leave(work_dir, 0) == "nothing trains here"
    assert (work_dir / ASKED).exists()
    mark(work_dir)  # the next attempt may be asked again
    assert not (work_dir / ASKED).exists()


def test_a_worker_whose_head_is_gone_does_not_wait(
    work_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leaving, "DASHBOARD_PORT", 9)  # nothing listens there
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:6379")
    assert "does not answer at http://127.0.0.1:9" in ask_head(work_dir, 120)


@pytest.mark.parametrize(
    ("error", "ended"),
    [
        (
            Failure("a scorer is away"),
            ["", "", "error: 3 starts in a row without a new checkpoint"],
        ),
        (BadInput("no such model"), ["", "", ""]),  # which the supervisor ends for good
        (Stopped("guard pitch"), ["", "", ""]),
    ],
    ids=["failure", "bad input", "guard"],
)
def test_failures_in_a_row_end_a_rayjob_for_good(
    tmp_path: Path,
    work_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    ended: list[str],
) -> None:
    run = load_run(TINY / "run.json", [f"storage={tmp_path / 'storage'}"])
    config = tmp_path / "run.json"
    config.write_text(dump_run(run))
    said: list[str] = []

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(ray_driver, "train_until_terminated", fail)
    monkeypatch.setattr(ray_driver, "end_ray_job", said.append)
    words: list[str] = []
    for _ in range(3):
        with pytest.raises(type(error)):
            ray_driver.drive(config, work_dir, 3)
        words.append(said.pop() if said else "")
    assert words == ended


def test_starts_that_were_killed_are_counted_and_a_checkpoint_forgives_them(
    tmp_path: Path, work_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = load_run(TINY / "run.json", [f"storage={tmp_path / 'storage'}"])
    config = tmp_path / "run.json"
    config.write_text(dump_run(run))
    said: list[str] = []

    def killed(*_: object) -> None:
        raise SystemExit(143)

    monkeypatch.setattr(ray_driver, "train_until_terminated", killed)
    monkeypatch.setattr(ray_driver, "end_ray_job", said.append)

    def start() -> None:
        with pytest.raises(SystemExit):
            ray_driver.drive(config, work_dir, 2)

    store = RunStore(run.storage, run.name)
    for step in (1, 2, 3):  # each preempted attempt got further: they never run out
        start()
        start()
        weights = tmp_path / f"checkpoint-{step}"
        weights.mkdir()
        (weights / "weights").write_bytes(b"1")
        store.storage.publish(weights, store.checkpoint(step))
    start()
    start()
    assert said == []
    with pytest.raises(Failure, match="2 starts in a row"):
        ray_driver.drive(config, work_dir, 2)
    assert said == ["error: 2 starts in a row without a new checkpoint"]
