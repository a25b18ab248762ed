"""What the guards of a run found: lines of guards.jsonl."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Self

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


@dataclass(frozen=True)
class SetBacks:
    """How often a run was set back, and to where, as its events tell."""

    to_steps: tuple[int, ...] = ()
    """Of each that has begun, in order."""
    done: int = 0
    """How many of them are complete: what they give up is removed from storage."""

    @classmethod
    def of(cls, events: Iterable[GuardEvent]) -> Self:
        events = list(events)
        begun = [e.to_step or 0 for e in events if e.event == "rolling_back"]
        return cls(tuple(begun), sum(e.event == "rolled_back" for e in events))

    def gave_up(self, step: int, since: int | None) -> bool:
        """Whether a step's checkpoint is given up, as it was when `since` of them were complete.

        None: that was not written down, and the checkpoint counts as kept.
        """
        return since is not None and any(to < step for to in self.to_steps[since:])


def stopped_by(events: Sequence[GuardEvent], max_rollbacks: int) -> GuardEvent | None:
    """The event that ended the run: a `stop`, or a `rollback` after the last that it may make."""
    last = next((event for event in reversed(events) if event.then != "warn"), None)
    if last is None or last.event != "tripped":
        return None
    if last.then == "rollback" and SetBacks.of(events).done < max_rollbacks:
        return None  # it is about to be set back
    return last
