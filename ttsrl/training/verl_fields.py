"""What verl carries of a rollout: its reward, its utilities, and the rest as one column.

verl moves its columns between Ray actors without knowing ours, so a rollout crosses it as JSON. It
becomes that here and nowhere else, and a record again at the trainer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ttsrl.records.record import parse, to_line
from ttsrl.records.rollout import Rollout
from ttsrl.training.verl_args import NO_REWARD
from ttsrl.wire import Failed, Gated, Ok, Outcome

ROLLOUT = "ttsrl"
"""Key of the rollout among verl's extra fields."""


def extra_fields_of(rollout: Rollout) -> dict[str, Any]:
    """A rollout for verl's column `extra_fields`."""
    return {ROLLOUT: to_line(rollout)}


def rollout_of(extra_fields: Any) -> Rollout:
    """The rollout of a row of that column; tensordict wraps what is not a tensor."""
    fields: dict[str, Any] = getattr(extra_fields, "data", extra_fields)
    return parse(Rollout, fields[ROLLOUT], "verl's extra fields")


def reward_of(outcome: Outcome) -> float:
    """The number that verl carries for an outcome."""
    match outcome:
        case Ok() | Gated():
            return float(outcome.reward)
        case Failed():
            return NO_REWARD


def utilities_of(outcome: Outcome, components: Sequence[str]) -> list[float]:
    """The utilities of these components, where GDPO compares them one by one."""
    match outcome:
        case Ok():
            return [outcome.utilities[name] for name in components]
        case Gated():
            return [0.0] * len(components)
        case Failed():
            return [NO_REWARD] * len(components)
