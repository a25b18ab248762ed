"""What an attempt of training leaves in storage."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ttsrl.errors import Failure
from ttsrl.storage.errors import StorageError
from ttsrl.storage.run_store import RunStore
from ttsrl.training import attempt_log
from ttsrl.training.attempt_log import AttemptLog


def left(storage: Path) -> tuple[dict[str, str | None], str]:
    """(attempt.json, verl.log) of the only attempt."""
    [folder] = (storage / "runs/r/log/attempts").iterdir()
    return json.loads((folder / "attempt.json").read_text()), (folder / "verl.log").read_text()


def test_each_attempt_leaves_its_own_log_and_why_it_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempt_log, "MOST_BYTES", 20)
    log = tmp_path / "verl.log"
    log.write_text("of an earlier attempt\n")
    with (
        pytest.raises(Failure),
        AttemptLog(RunStore(str(tmp_path / "storage"), "r"), log),
        log.open("a") as file,
    ):
        file.write("a\nCUDA out of memory\n")
        file.flush()
        raise Failure("verl failed")
    about, said = left(tmp_path / "storage")
    assert about["end"] == "Failure: verl failed"
    assert said == "\nCUDA out of memory\n"


def test_one_that_is_killed_has_no_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "verl.log"
    log.write_text("")
    attempt = AttemptLog(RunStore(str(tmp_path / "storage"), "r"), log)
    log.write_text("step 1\n")
    attempt._publish()
    about, said = left(tmp_path / "storage")
    assert (about["end"], said) == (None, "step 1\n")


def test_storage_that_is_away_costs_the_log_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = RunStore(str(tmp_path / "storage"), "r")

    def away(*_: object) -> None:
        raise StorageError("storage is away")

    monkeypatch.setattr(store.storage, "write_json", away)
    with AttemptLog(store, tmp_path / "verl.log"):
        pass
    assert "log of this attempt not published: storage is away" in capsys.readouterr().out
