"""What the evaluation beside training leaves: change.json of a checkpoint, state.json of all, and
the line about a checkpoint in its log."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from ttsrl.records.record import Record

FOLDER = "during"
"""In a run's folder: the evaluations of its checkpoints."""
CHANGE = "change.json"
"""In the folder of each evaluation but the base's."""


class ChangeEstimate(Record):
    """A mean over texts with its 95 % interval."""

    value: float
    low: float
    high: float


class MetricChange(Record):
    """One measure of the base and of a checkpoint, paired by text."""

    before: ChangeEstimate
    after: ChangeEstimate
    difference: ChangeEstimate
    """after - before, in the unit of the measure."""
    texts: int
    """Texts that have the measure on both sides."""


class ChangeFromBase(Record):
    """change.json: what a checkpoint's evaluation differs by from that of the base."""

    step: int
    """Updates behind the checkpoint."""
    metrics: dict[str, dict[str, MetricChange | None]]
    """Measure, such as `cer/JUDGE` or `finished` -> sampled, greedy -> change; None where no text
    has the measure."""


class DuringTrainingState(Record):
    """state.json: how far the evaluation of a run's checkpoints is."""

    evaluated: list[int]
    """Steps whose evaluation is published; 0 is the base."""
    waiting: list[int]
    """Steps of published checkpoints that are still to be evaluated."""
    skipped: dict[str, str] = {}
    """Step -> why it is not evaluated."""
    failures: int = 0
    """Attempts that failed, those that were repeated with success included."""
    at_s: float
    """When this was written, in seconds since the epoch."""


_LINE = re.compile(r"evaluated step (\d+): (.*)")


@dataclass(frozen=True)
class EvaluatedLine:
    """`evaluated step 40: CER 12.0 % (judge), ...`: how a log tells of an evaluated checkpoint."""

    step: int
    note: str
    """Its figures in words."""

    def __str__(self) -> str:
        return f"evaluated step {self.step}: {self.note}"

    @classmethod
    def parse(cls, line: str) -> Self | None:
        """The line as a record; None for any other line of a log."""
        found = _LINE.fullmatch(line)
        return cls(int(found[1]), found[2]) if found else None

    @classmethod
    def newest_of(cls, log: str) -> Self | None:
        """The line of the latest step that a log tells of: older checkpoints may come later."""
        found = [line for line in map(cls.parse, log.splitlines()) if line is not None]
        return max(found, key=lambda line: line.step, default=None)
