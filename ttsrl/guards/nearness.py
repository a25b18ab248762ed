"""How far a guard is on its way to its limits: 0 where nothing has moved, 1 where it trips."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from ttsrl.config.guard_rules import Condition
from ttsrl.guards.guard import Guard
from ttsrl.guards.history import History
from ttsrl.guards.judging import Judged, judged_at, judged_last


@dataclass(frozen=True)
class Nearness:
    """Where a guard stood at the end of as many steps or evaluations in a row as it takes."""

    step: int
    share: float
    """Of the way to its limits: the smallest over its conditions and those steps, so that above 1
    all of them are beyond their limits. A limit at which nothing but a direction counts, such as
    `rises = 0`, is passed or not: the other conditions tell how far it is."""


def nearness(guard: Guard, history: History) -> Nearness | None:
    """Of a guard at the end of a history; None where it cannot be judged there."""
    judged = judged_last(guard, history)
    return None if judged is None else _of(guard, judged)


def nearest(guard: Guard, history: History) -> Nearness | None:
    """When a guard was nearest to its limits; None where it was never judged."""
    return max(_all(guard, history), key=lambda one: one.share, default=None)


def _all(guard: Guard, history: History) -> Iterator[Nearness]:
    return (_of(guard, judged) for judged in judged_at(guard, history))


def _of(guard: Guard, judged: Judged) -> Nearness:
    share = min(
        share_of_limit(condition, value, reference)
        for condition, (values, reference) in zip(guard.when, judged.measured, strict=True)
        for value in values
    )
    return Nearness(judged.last, 1.0 if math.isinf(share) else share)


def share_of_limit(condition: Condition, value: float, reference: float | None) -> float:
    """How much of the way to its limit a value has gone; infinite beyond a limit without a way."""
    if condition.not_finite:
        return 0.0 if math.isfinite(value) else math.inf
    if condition.above is not None:
        return _share(value, condition.above)
    if condition.below is not None:
        if value <= 0 or condition.below <= 0:
            return math.inf if value < condition.below else 0.0
        return condition.below / value
    if reference is None:
        return 0.0
    unit = abs(reference) if condition.relative else 1.0
    if condition.rises is not None:
        return _share(value - reference, condition.rises * unit)
    assert condition.falls is not None
    return _share(reference - value, condition.falls * unit)


def _share(moved: float, limit: float) -> float:
    if math.isnan(moved):
        return 0.0
    if limit <= 0:
        return math.inf if moved > limit else 0.0
    return max(0.0, moved / limit)
