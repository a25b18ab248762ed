"""Ray's node is late on a busy machine: it is started again, and not without end."""

import inspect
from pathlib import Path

import pytest
from ray._private.node import Node

from support.job_functions import with_tests
from support.late_node import start
from support.tracked_run import wait_for
from ttsrl.errors import Failure
from ttsrl.runtime.job import Job
from ttsrl.training.ray_start import STARTS, TIMED_OUT, started_again


def begun(tmp_path: Path, late: int, message: str) -> int:
    """How many processes were started; raises what the user is told."""
    log = tmp_path / "begun"

    def work() -> None:
        job = Job("verl", start, (log, late, message), tmp_path / "verl.log", with_tests())
        try:
            wait_for(lambda: not job.is_running())
        finally:
            job.stop()

    started_again(work)
    return len(log.read_text())


def test_ray_says_so() -> None:
    assert TIMED_OUT in inspect.getsource(Node)


def test_a_late_node_is_started_again(tmp_path: Path) -> None:
    assert begun(tmp_path, 2, f"{TIMED_OUT}. This could happen because") == 3


def test_a_node_that_is_late_each_time_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(Failure, match=f"{STARTS} times in a row: this machine is too busy"):
        begun(tmp_path, 9, TIMED_OUT)
    assert len((tmp_path / "begun").read_text()) == STARTS


def test_another_failure_is_not_tried_again(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="out of memory"):
        begun(tmp_path, 1, "out of memory")
    assert len((tmp_path / "begun").read_text()) == 1
