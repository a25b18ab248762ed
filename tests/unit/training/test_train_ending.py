"""SIGTERM of a process that trains, sent to this one."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from ttsrl.errors import BadInput, Failure, Stopped
from ttsrl.training import ray_job, supervisor
from ttsrl.training.ending import EXIT_CODE, Ending


@pytest.fixture
def ending() -> Iterator[Ending]:
    before = signal.getsignal(signal.SIGTERM)
    ending = Ending()
    ending.listen()
    yield ending
    signal.signal(signal.SIGTERM, before)


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def test_it_ends_at_once_while_nothing_could_be_saved(ending: Ending) -> None:
    with pytest.raises(SystemExit) as left:
        terminate()
    assert left.value.code == EXIT_CODE == 143
    assert not ending.is_asked


def test_the_first_signal_asks_and_the_second_ends(ending: Ending) -> None:
    ending.can_save = True
    assert not ending.is_new() and not ending.is_late(0)
    terminate()
    assert ending.is_asked and [ending.is_new(), ending.is_new()] == [True, False]
    assert ending.is_late(-1) and not ending.is_late(3600)
    with pytest.raises(SystemExit):
        terminate()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Stopped("guard pitch"), ["stopped: guard pitch"]),
        (BadInput("no such model"), ["error: no such model"]),
        (Failure("the service is away"), []),
    ],
)
def test_a_ray_job_is_ended_for_good_where_another_attempt_would_not_help(
    ending: Ending,
    error: Exception,
    said: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Of Ray's job API; tests/integration/test_stopped_ray_job.py asks the real one."""
    ended: list[bool] = []

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(supervisor, "train", fail)
    monkeypatch.setattr(ray_job, "own_submission_id", lambda: "job")
    monkeypatch.setattr(ray_job, "end_as_stopped", lambda: ended.append(True))
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    with pytest.raises(type(error)):
        supervisor.train_until_terminated(Path("run.json"))
    assert capsys.readouterr().out.splitlines() == said
    assert ended == [True] * len(said)
