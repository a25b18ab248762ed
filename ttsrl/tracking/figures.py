"""Names of the figures of a run: those of its log, so that a new figure of the log has one, too.

train/KEY          a number of a line of steps.jsonl; train/KEY/NAME where it has several by name
raw/SCORE          mean raw score over measured rollouts
utility/COMPONENT  mean utility over measured rollouts
eval/SUITE/MODE/MEASURE  an evaluation; .../low, .../high: its 95 % interval;
                   .../change, .../change_low, .../change_high: against the policy before training
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ttsrl.evaluation.bootstrap import Estimate
from ttsrl.evaluation.report.comparison import Comparison, compare_evaluations
from ttsrl.evaluation.report.inputs import Evaluation
from ttsrl.records.step import TrainingStep
from ttsrl.tracking.base import EVALUATED_STEP


def of_step(step: TrainingStep) -> dict[str, float]:
    """Every number of a step."""
    found: dict[str, float] = {}
    for key in type(step).model_fields:
        folder = {"raw": "raw", "utilities": "utility"}.get(key, f"train/{key}")
        found.update(_numbers(folder, getattr(step, key)))
    return found


def of_evaluation(
    suite: str, step: int, base: Evaluation, evaluation: Evaluation, *, samples: int, seed: int
) -> tuple[dict[str, float], Comparison]:
    """Every measure of an evaluation, and how it compares with that of the policy before training.

    Where the two do not compare there are plain means alone.
    """
    comparison = compare_evaluations(base, evaluation, samples=samples, seed=seed)
    figures = {EVALUATED_STEP: float(step)}
    if comparison.comparable:
        figures.update(_compared(suite, comparison, with_change=step > 0))
    else:
        figures.update(_means(suite, evaluation))
    return figures, comparison


def _numbers(name: str, value: Any) -> Iterator[tuple[str, float]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _numbers(f"{name}/{_named(key)}", inner)
    elif isinstance(value, int | float):
        yield name, float(value)


def _compared(
    suite: str, comparison: Comparison, *, with_change: bool
) -> Iterator[tuple[str, float]]:
    for metric, by_mode in comparison.rows:
        for mode, compared in by_mode.items():
            if compared is None:
                continue
            name = f"eval/{suite}/{mode}/{'/'.join(map(_named, metric.key.split('/')))}"
            after = compared.result.after
            yield name, after.value
            yield from _limits(f"{name}/", after)
            if with_change:
                change = compared.result.difference
                yield f"{name}/change", change.value
                yield from _limits(f"{name}/change_", change)


def _limits(prefix: str, estimate: Estimate) -> Iterator[tuple[str, float]]:
    yield f"{prefix}low", estimate.low
    yield f"{prefix}high", estimate.high


def _means(suite: str, evaluation: Evaluation) -> Iterator[tuple[str, float]]:
    for mode, found in evaluation.report.modes.items():
        for judge, heard in found.judges.items():
            if heard.mean_cer is not None:
                yield f"eval/{suite}/{mode}/cer/{_named(judge)}", heard.mean_cer


def _named(key: str) -> str:
    """A name that every tracker takes: MLflow's are letters, digits, and few signs."""
    return re.sub(r"[^\w.: -]", "_", str(key), flags=re.ASCII)
