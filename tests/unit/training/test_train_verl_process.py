"""verl's main program, which is there before a run has been checked."""

from __future__ import annotations

import time
from pathlib import Path

import psutil
import pytest

from support.paths import TINY
from ttsrl.config.load import load_run
from ttsrl.training.forked_workers import FORK
from ttsrl.training.verl_process import VerlProcess, processes_of

RUN = load_run(TINY / "run.json", ["train.device=cpu"])


BEFORE: set[int] = set()
"""Processes of other tests, whose servers are children of the same pytest."""


@pytest.fixture(autouse=True)
def others() -> None:
    BEFORE.clear()
    BEFORE.update(one.pid for one in psutil.Process().children())


def children() -> list[psutil.Process]:
    """What a test has started, less what that has started itself."""
    return [one for one in psutil.Process().children() if one.pid not in BEFORE]


def test_a_run_that_is_refused_leaves_no_process_and_no_log(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(FORK, "1")
    log = tmp_path / "run" / "logs" / "verl.log"
    with pytest.raises(ValueError, match="refused"), processes_of(RUN, "cpu", log):
        assert children(), "it imports meanwhile"
        raise ValueError("refused")
    assert not children()
    assert not list(tmp_path.iterdir())


def test_what_the_log_of_an_earlier_start_says_stays(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(FORK, "1")
    log = tmp_path / "verl.log"
    log.write_text("said before\n")
    with VerlProcess(RUN, "cpu", log) as process, log.open("a") as file:
        file.write("said by another process meanwhile\n")
        assert process.forks
    assert log.read_text().startswith("said before\nsaid by another process meanwhile\n")


def test_each_start_after_the_first_has_a_process_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(FORK, "1")
    with processes_of(RUN, "cpu", tmp_path / "verl.log") as verl:
        early = children()
        with verl() as first:
            assert children() == early, "a second one imports beside the first"
        assert not children(), "left is ended"
        with verl() as second:
            assert second is not first
            assert second.folder != first.folder
            assert children()
        assert not children()


def test_where_each_process_imports_its_own_none_is_there_before_it_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(FORK, "0")
    log = tmp_path / "verl.log"
    with processes_of(RUN, "cpu", log) as verl, verl() as process:
        assert not children()
        (tmp_path / "keys.json").write_text("no JSON")
        job = process.begin(tmp_path / "keys.json", {})
        with pytest.raises(Exception, match="JSONDecodeError"):
            while job.is_running():
                time.sleep(0.1)
    assert "JSONDecodeError" in log.read_text(), "the log of a start stays"
