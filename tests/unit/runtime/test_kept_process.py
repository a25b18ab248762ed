"""A process that makes one call after the other: what it keeps, how it fails, that it ends."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from support.job_functions import dies, fails, family, keeps, refuses, with_tests
from ttsrl.errors import BadInput, Failure
from ttsrl.runtime.kept import KeptProcess

DEADLINE_S = 120.0


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[KeptProcess]:
    with KeptProcess("kept", tmp_path / "logs" / "kept.log", with_tests()) as process:
        yield process


def last(log: Path) -> str:
    return log.read_text().splitlines()[-1]


def test_what_one_call_leaves_is_there_for_the_next(kept: KeptProcess) -> None:
    kept.begin(keeps, "a")
    kept.call(keeps, "b")
    kept.call(keeps, "c")
    assert last(kept.log) == "a b c"


def test_what_a_failure_says_is_raised_and_the_next_call_has_a_new_process(
    kept: KeptProcess,
) -> None:
    kept.call(keeps, "a")
    with pytest.raises(Failure, match=r"kept failed with exit code 1:\n  ValueError: broken"):
        kept.call(fails, "broken")
    kept.call(keeps, "b")
    assert last(kept.log) == "b"
    with pytest.raises(BadInput, match=r"^no such thing; name another$"):
        kept.call(refuses, "no such thing; name another")


def test_a_call_that_is_killed_is_a_failure_and_the_next_one_is_made(kept: KeptProcess) -> None:
    with pytest.raises(Failure, match=r"was killed"):
        kept.call(dies)
    kept.call(keeps, "a")
    assert last(kept.log) == "a"


def test_a_process_that_was_killed_between_two_calls_is_started_again(kept: KeptProcess) -> None:
    kept.call(keeps, "a")
    [reaper] = [
        one for one in psutil.Process().children() if "ttsrl.runtime.calls" in one.cmdline()
    ]
    [caller] = reaper.children()
    caller.kill()
    reaper.wait(DEADLINE_S)
    kept.call(keeps, "b")
    assert last(kept.log) == "b"


def test_a_call_that_was_begun_and_failed_does_not_fail_the_next(kept: KeptProcess) -> None:
    kept.begin(fails, "broken")
    kept.call(keeps, "a")
    assert last(kept.log) == "a"
    assert "ValueError: broken" in kept.log.read_text()


def test_nothing_of_it_outlives_its_block(tmp_path: Path) -> None:
    mark = f"ttsrl-kept-test-{tmp_path.name}"
    log = tmp_path / "log"
    with KeptProcess("kept", log, with_tests()) as process:
        process.begin(family, mark, "polite")
        deadline = time.monotonic() + DEADLINE_S
        while "ready" not in log.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert not [
        one for one in psutil.process_iter(["cmdline"]) if mark in (one.info["cmdline"] or [])
    ]
