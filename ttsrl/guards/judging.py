"""Whether a guard's conditions hold: pure functions of a run's history."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from ttsrl.config.guard_rules import Condition
from ttsrl.guards.guard import Guard
from ttsrl.guards.history import Entry, History
from ttsrl.records.guard import GuardFigure


@dataclass(frozen=True)
class Trip:
    """A guard's conditions held as long in a row as it takes."""

    guard: Guard
    first: int
    """The first of the bad steps, or of those whose evaluation is bad."""
    step: int
    """The last of them."""
    figures: tuple[GuardFigure, ...]

    @property
    def said(self) -> str:
        """The finding in one line."""
        what = "; ".join(map(_in_words, self.guard.when, self.figures))
        kind = "the evaluation of step" if self.guard.of_evaluation else "step"
        advice = f": {self.guard.advice}" if self.guard.advice else ""
        return f"guard {self.guard.name} at {kind} {self.step}: {what}{advice}"


@dataclass(frozen=True)
class Judged:
    """As many steps or evaluations in a row as a guard takes, all of which have its measures."""

    first: int
    last: int
    measured: tuple[tuple[Sequence[float], float | None], ...]
    """Of each condition: the values, and what they are compared with."""


def judge(guard: Guard, history: History) -> Trip | None:
    """What a guard finds at the end of a history."""
    judged = judged_last(guard, history)
    return None if judged is None else _found(guard, judged)


def findings(guard: Guard, history: History) -> Iterator[Trip]:
    """What a guard finds at any point of a history, in order."""
    for judged in judged_at(guard, history):
        if (found := _found(guard, judged)) is not None:
            yield found


def judged_last(guard: Guard, history: History) -> Judged | None:
    """What a guard judges at the end of a history; None where it cannot."""
    entries = history.entries(guard, guard.takes)
    return _judged(guard, history, entries, len(entries))


def judged_at(guard: Guard, history: History) -> Iterator[Judged]:
    """What a guard judges at each point of a history at which it can, in order."""
    entries = history.entries(guard)
    for end in range(guard.in_a_row, len(entries) + 1):
        if (judged := _judged(guard, history, entries, end)) is not None:
            yield judged


def bad_steps(guard: Guard, history: History) -> set[int]:
    """Steps in which, or in whose evaluation, a guard's conditions held long enough."""
    entries = [entry.step for entry in history.entries(guard)]
    return {
        step
        for found in findings(guard, history)
        for step in entries
        if found.first <= step <= found.step
    }


def _judged(guard: Guard, history: History, entries: Sequence[Entry], end: int) -> Judged | None:
    """The entries before `end`, with what they are compared with."""
    start = end - guard.in_a_row
    if start < 0:
        return None
    row = entries[start:end]
    measured: list[tuple[Sequence[float], float | None]] = []
    for n, condition in enumerate(guard.when):
        values = [value for entry in row if (value := entry.values[n]) is not None]
        if len(values) < len(row):
            return None
        measured.append((values, _reference(condition, history, entries[:start], n)))
    return Judged(row[0].step, row[-1].step, tuple(measured))


def _found(guard: Guard, judged: Judged) -> Trip | None:
    """The trip where every condition holds at each of the steps or evaluations."""
    figures: list[GuardFigure] = []
    for condition, (values, reference) in zip(guard.when, judged.measured, strict=True):
        if not all(_is_bad(condition, value, reference) for value in values):
            return None
        figures.append(
            GuardFigure(measure=condition.measure, value=fmean(values), reference=reference)
        )
    return Trip(guard, judged.first, judged.last, tuple(figures))


def _reference(
    condition: Condition, history: History, before: Sequence[Entry], n: int
) -> float | None:
    """What a condition compares with; None where it compares with nothing, or it is not there."""
    if condition.rises is None and condition.falls is None:
        return None
    if condition.against == "base":
        return history.base(condition)
    if len(before) < condition.window:
        return None
    values = [entry.values[n] for entry in before[-condition.window :]]
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _is_bad(condition: Condition, value: float, reference: float | None) -> bool:
    if condition.not_finite:
        return not math.isfinite(value)
    if condition.above is not None:
        return value > condition.above
    if condition.below is not None:
        return value < condition.below
    if reference is None:
        return False
    unit = abs(reference) if condition.relative else 1.0
    if condition.rises is not None:
        return value - reference > condition.rises * unit
    assert condition.falls is not None
    return reference - value > condition.falls * unit


def _in_words(condition: Condition, figure: GuardFigure) -> str:
    """`pitch_spread is 1.42, more than 25 % below 2.31 at the base`."""
    name, value = figure.measure, f"{figure.value:.3g}"
    if condition.not_finite:
        return f"{name} is {value}"
    if condition.above is not None:
        return f"{name} is {value}, above {condition.above:g}"
    if condition.below is not None:
        return f"{name} is {value}, below {condition.below:g}"
    limit = condition.rises if condition.rises is not None else condition.falls
    assert limit is not None and figure.reference is not None
    side = "above" if condition.rises is not None else "below"
    far = f"{100 * limit:g} %" if condition.relative else f"{limit:g}"
    more = f"more than {far} " if limit else ""
    whose = "the base's" if condition.against == "base" else "the window's"
    return f"{name} is {value}, {more}{side} {whose} {figure.reference:.3g}"
