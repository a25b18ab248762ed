"""What the guards of a run found: lines of guards.jsonl."""

from __future__ import annotations

from typing import Literal

from ttsrl.records.record import Record

GUARDS = "guards.jsonl"
"""File of a run's `train` folder, and of `log/` in its storage."""


class GuardFigure(Record):
    """A measure that a guard watches, as it was when it tripped."""

    measure: str
    value: float
    """Mean over the steps or evaluations that were judged."""
    reference: float | None = None
    """What it was compared with; None where the limit is a number."""


class GuardEvent(Record):
    """A guard tripped, what it watches is within its limits again, or the run is set back."""

    event: Literal["tripped", "cleared", "rolling_back", "rolled_back"]
    guard: str
    digest: str = ""
    """Of the guard as it was."""
    then: Literal["warn", "stop", "rollback"]
    first: int
    """The first of the bad steps, or of the steps whose evaluation is bad."""
    step: int
    """The last of them; of `cleared` the first good one after them."""
    to_step: int | None = None
    """Of a rollback: the step that the run goes on from."""
    figures: list[GuardFigure] = []
    said: str
    """The event in one line."""
    at_s: float
    """Seconds since the epoch."""
