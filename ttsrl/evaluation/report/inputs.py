"""What a run has left in its folder so far; every part but run.json may be missing."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ttsrl.config.load import load_run
from ttsrl.config.schema import RunConfig
from ttsrl.errors import BadInput

Json = dict[str, Any]


@dataclass(frozen=True)
class Evaluation:
    """A finished evaluation: `report` is report.json, `rows` are the lines of rows.jsonl."""

    folder: Path
    report: Json
    rows: list[Json]

    @classmethod
    def read(cls, folder: Path) -> Evaluation | None:
        """The evaluation in a folder; None where none is finished."""
        report = folder / "report.json"
        if not report.is_file():
            return None
        rows = _json_lines(folder / "rows.jsonl")
        return cls(folder, json.loads(report.read_text(encoding="utf-8")), rows)

    def of_mode(self, mode: str) -> list[Json]:
        return [row for row in self.rows if row["mode"] == mode]


@dataclass(frozen=True)
class RunFolder:
    """A run's folder, read once."""

    path: Path
    run: RunConfig
    before: Evaluation | None
    after: Evaluation | None
    suites: list[tuple[Evaluation, Evaluation]]
    """Before and after of each suite that was evaluated twice."""
    steps: list[Json]
    rollouts: list[Json]
    timeline: list[Json]


def read_run_folder(path: Path) -> RunFolder:
    """Read a run's folder. Raises BadInput where there is no run in it."""
    if not (path / "run.json").is_file():
        raise BadInput(f"no run in {path}: run.json is missing; give the run's own folder")
    run = load_run(path / "run.json")
    return RunFolder(
        path=path,
        run=run,
        before=Evaluation.read(path / "eval" / "before"),
        after=Evaluation.read(path / "eval" / "after"),
        suites=[
            (before, after)
            for suite in run.eval.suites
            for folder in [path / "eval" / suite.name]
            if (before := Evaluation.read(folder / "before"))
            and (after := Evaluation.read(folder / "after"))
        ],
        steps=_json_lines(path / "train" / "steps.jsonl"),
        rollouts=_json_lines(path / "train" / "rollouts.jsonl"),
        timeline=_json_lines(path / "train" / "timeline.jsonl"),
    )


def _json_lines(path: Path) -> list[Json]:
    """Lines of a file that may still be written to: what follows its last line end is left out."""
    if not path.is_file():
        return []
    text = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
