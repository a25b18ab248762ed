"""Which guards the page says watched a run: those that the run itself had."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.paths import TINY
from support.records import step_of
from ttsrl.config.load import dump_run, load_run
from ttsrl.errors import BadInput
from ttsrl.evaluation.report.inputs import VERL, read_run_folder
from ttsrl.records.record import write_lines

RULE = {"name": "far", "when": [{"measure": "rollout_kl", "above": 1.0}], "then": "warn"}
OWN = f"guards.rules={json.dumps([RULE])}"


def watching(folder: Path, *settings: str, device: str | None = None, kl: float | None) -> bool:
    """Whether the guard on rollout_kl is among those of a run that trained one step."""
    (folder / "train").mkdir(parents=True)
    (folder / "run.json").write_text(dump_run(load_run(TINY / "run.json", [*settings])))
    write_lines(folder / "train" / "steps.jsonl", [step_of(1, rollout_kl=kl)])
    if device is not None:
        (folder / "train" / VERL).write_text(json.dumps({"trainer.device": device}))
    return "rollout_kl" in [guard.name for guard in read_run_folder(folder).armed.guards]


def test_a_guard_that_depends_on_the_device_is_told_as_the_run_had_it(tmp_path: Path) -> None:
    auto = "train.device=auto"
    assert not watching(tmp_path / "here", auto, device="cpu", kl=None)
    assert watching(tmp_path / "there", auto, device="cuda", kl=None)
    assert not watching(tmp_path / "unknown", auto, kl=None)
    assert watching(tmp_path / "logged", auto, kl=0.01)
    assert watching(tmp_path / "named", "train.device=cuda", kl=None)


def test_a_guard_of_the_runs_own_does_not_keep_its_page_from_being_written(tmp_path: Path) -> None:
    assert watching(tmp_path / "run", "train.device=auto", OWN, kl=None)


def test_a_damaged_file_of_keys_is_named(tmp_path: Path) -> None:
    watching(tmp_path, kl=None)
    (tmp_path / "train" / VERL).write_text("{")
    with pytest.raises(BadInput, match=r"verl\.json is not JSON: .*; remove it"):
        _ = read_run_folder(tmp_path).armed
