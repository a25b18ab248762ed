"""Follows what verl's task runner writes down: lines for the log, metrics, guards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ttsrl.records.checkpoint import (
    CheckpointEvent,
    CheckpointRestored,
    parse_checkpoint_event,
)
from ttsrl.records.record import parse
from ttsrl.records.step import TrainingStep
from ttsrl.records.step_line import StepLine
from ttsrl.runtime.job import Tail
from ttsrl.runtime.progress import step_note
from ttsrl.training.metrics import TrainMetrics


class Follower:
    """Looks for new lines of steps.jsonl and checkpoints.jsonl in a run's `train` folder."""

    def __init__(
        self,
        train_dir: Path,
        metrics: TrainMetrics,
        on_step: Callable[[TrainingStep], None] = lambda step: None,
    ) -> None:
        """`on_step` is told of each step that ends from now on."""
        self._steps = Tail(train_dir / "steps.jsonl")
        self._checkpoints = Tail(train_dir / "checkpoints.jsonl")
        self._metrics = metrics
        self._on_step = on_step

    def look(self) -> bool:
        """Take in what is new; whether a step has ended since the last look."""
        for line in self._checkpoints.lines():
            event = parse_checkpoint_event(line, self._checkpoints.path)
            self._metrics.on_checkpoint(event)
            if event.at_s >= self._metrics.start_s:
                print(_checkpoint_note(event), flush=True)
        ended = False
        for line in self._steps.lines():
            step = parse(TrainingStep, line, self._steps.path)
            self._metrics.on_step(step)
            if step.ended_at_s >= self._metrics.start_s:
                ended = True
                self._on_step(step)
                total = self._metrics.run.train.steps
                note = step_note(step, total - step.step, step.seconds)
                print(StepLine(step.step, total, note), flush=True)
        return ended


def _checkpoint_note(event: CheckpointEvent) -> str:
    if isinstance(event, CheckpointRestored):
        return f"going on from step {event.step}" if event.step else "starting at step 0"
    size = event.bytes / 1e6
    written = f"written in {event.write_seconds:.1f} s, " if event.write_seconds else ""
    return (
        f"checkpoint of step {event.step} published: {size:.1f} MB, {written}"
        f"uploaded in {event.seconds:.1f} s"
    )
