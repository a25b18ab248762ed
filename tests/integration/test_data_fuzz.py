"""A few of the damaged corpora, texts and recordings of `make fuzz-data`."""

from __future__ import annotations

from pathlib import Path

from benchmarks.data_fuzz import SHARES, Log, fuzz, half_written
from support.reward_server import RewardServer

CASES = 30


def test_damaged_input_ends_with_a_reason_and_leaves_nothing_half(
    reward_service: RewardServer, tmp_path: Path
) -> None:
    log = Log(tmp_path / "log.jsonl")
    cases = fuzz(tmp_path, reward_service, CASES, 0, log, print)
    assert [case for case in cases if case.problem] == []
    assert {case.command for case in cases} == set(SHARES)
    assert {case.code for case in cases} >= {"0", "2", "400"}

    resumed = Log(tmp_path / "log.jsonl")
    assert resumed.done == log.done
    resumed.begin(CASES)  # and the process ends
    assert Log(tmp_path / "log.jsonl").done[CASES].code == "died"


def test_half_of_an_output_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.parquet").write_bytes(b"PAR1")
    assert "train.parquet" in half_written("prepare", 2, tmp_path)
    assert "exit code 0 with ['data/train.parquet']" in half_written("prepare", 0, tmp_path)
    (tmp_path / "data" / ".held_out.parquet.1.tmp").write_bytes(b"")
    assert "half a file" in half_written("prepare", 0, tmp_path)
