"""Follows what verl's task runner writes down, for the supervisor: lines for the log, metrics."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ttsrl.runtime.job import Tail
from ttsrl.runtime.progress import step_note
from ttsrl.training.metrics import TrainMetrics


class Follower:
    """Looks for new lines of steps.jsonl and checkpoints.jsonl in a run's `train` folder."""

    def __init__(self, train_dir: Path, metrics: TrainMetrics) -> None:
        self._steps = Tail(train_dir / "steps.jsonl")
        self._checkpoints = Tail(train_dir / "checkpoints.jsonl")
        self._metrics = metrics

    def look(self) -> bool:
        """Take in what is new; whether a step has ended since the last look."""
        for line in _parsed(self._checkpoints):
            self._metrics.on_checkpoint(line)
            if line["at_s"] >= self._metrics.start_s:
                print(_checkpoint_note(line), flush=True)
        ended = False
        for line in _parsed(self._steps):
            self._metrics.on_step(line)
            if line["ended_at_s"] >= self._metrics.start_s:
                ended = True
                total = self._metrics.run.train.steps
                note = step_note(line, total - line["step"], line["seconds"])
                print(f"step {line['step']}/{total}  {note}", flush=True)
        return ended


def _parsed(tail: Tail) -> Iterator[dict[str, Any]]:
    return (json.loads(line) for line in tail.lines())


def _checkpoint_note(line: dict[str, Any]) -> str:
    if line["event"] == "resumed":
        return f"going on from step {line['step']}" if line["step"] else "starting at step 0"
    size = line["bytes"] / 1e6
    return f"checkpoint of step {line['step']} published: {size:.1f} MB, {line['seconds']:.1f} s"
