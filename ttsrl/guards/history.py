"""What a run has logged so far, as guards look at it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from ttsrl.config.guard_rules import Condition
from ttsrl.guards.guard import Guard
from ttsrl.guards.measures import value_of
from ttsrl.records.step import TrainingStep


@dataclass(frozen=True)
class Entry:
    """What a guard judges at once: a step, or an evaluation of the model after it."""

    step: int
    values: tuple[float | None, ...]
    """Of its conditions' measures, in their order; None where there is none."""


class History:
    """Steps and evaluations of a run, in order, whatever order they come in."""

    def __init__(self, base_steps: int) -> None:
        self._base_steps = base_steps
        self._steps: list[TrainingStep] = []
        self._evaluations: dict[int, Mapping[str, float]] = {}

    @property
    def last_step(self) -> int:
        """0 before the first."""
        return self._steps[-1].step if self._steps else 0

    def add_step(self, step: TrainingStep) -> None:
        """A finished step; one that is done again takes the place of the first, and of all after
        it."""
        while self._steps and self._steps[-1].step >= step.step:
            self._steps.pop()
        self._steps.append(step)

    def add_evaluation(self, step: int, measures: Mapping[str, float]) -> None:
        """Measures of an evaluation, beside those of other suites; step 0: before training."""
        self._evaluations[step] = {**self._evaluations.get(step, {}), **measures}

    def evaluated(self, step: int, measure: str) -> float | None:
        """A measure of the evaluation of a step's model, where there is one."""
        return self._evaluations.get(step, {}).get(measure)

    def entries(self, guard: Guard, last: int | None = None) -> list[Entry]:
        """What a guard can judge: all that follows the base, or the `last` of it."""
        if not guard.of_evaluation:
            first = (
                self._base_steps if last is None else max(self._base_steps, len(self._steps) - last)
            )
            steps = self._steps[first:]
            return [
                Entry(step.step, tuple(value_of(step, name) for name in guard.measures))
                for step in steps
            ]
        return [
            Entry(step, tuple(self._at_evaluation(step, name) for name in guard.when))
            for step in sorted(self._evaluations)
            if step > 0
        ]

    def base(self, condition: Condition) -> float | None:
        """What a measure was before training changed it."""
        if condition.of_evaluation:
            return self._evaluations.get(0, {}).get(condition.measure)
        return _mean(value_of(step, condition.measure) for step in self._steps[: self._base_steps])

    def _at_evaluation(self, step: int, condition: Condition) -> float | None:
        """Of a step's measure the mean over the last steps before the evaluation."""
        if condition.of_evaluation:
            return self._evaluations[step].get(condition.measure)
        before = [one for one in self._steps if one.step <= step][-self._base_steps :]
        return _mean(value_of(one, condition.measure) for one in before)


def _mean(values: Iterable[float | None]) -> float | None:
    known: Sequence[float] = [value for value in values if value is not None]
    return fmean(known) if known else None
