"""What guards see of an evaluation: its figures by name, and how they differ from the base's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from ttsrl.config.schema import RunConfig
from ttsrl.evaluation.adaptation import adaptations
from ttsrl.evaluation.bootstrap import Estimate, paired_bootstrap
from ttsrl.evaluation.simultaneous import simultaneous
from ttsrl.evaluation.summary import mean_by_text
from ttsrl.guards.measures import EVALUATION
from ttsrl.guards.planned import planned_evaluations
from ttsrl.records.evaluation import SAMPLED, EvaluationReport, EvaluationRow, Interval

Z_95 = NormalDist().inv_cdf(0.975)
"""How many standard errors a limit of a 95 % interval lies from its value."""
Evaluated = tuple[EvaluationReport, Sequence[EvaluationRow]]


def measures_of(
    run: RunConfig, suite: str, after: Evaluated, before: Evaluated
) -> dict[str, float]:
    """Measure -> value, of sampled speech; `before` is the policy before training.

    Names are those of `ttsrl.guards.measures.measures_of_evaluations`. A change has a 95 % interval
    over texts and a wider one that holds for all evaluations of the run at once, and is there only
    where both evaluations were made alike.
    """
    found = dict(_figures(after[0]))
    if after[0].identity.protocol == before[0].identity.protocol:
        found |= dict(_changes(run, after, before))
    return {f"{EVALUATION}{suite}.{name}": value for name, value in found.items()}


def _figures(report: EvaluationReport) -> Iterator[tuple[str, float]]:
    mode = report.modes[SAMPLED]
    heard = mode.judges[report.verdict_judge.name]
    figures = {
        "cer": heard.mean_cer,
        "wer": heard.mean_wer,
        "end_token_rate": mode.end_token_rate,
        "duration_s": mode.mean_duration_s,
        "similarity": mode.mean_similarity,
        **{f"quality.{name}": value for name, value in mode.mean_quality.items()},
        **{f"cer.{name}": judge.mean_cer for name, judge in mode.judges.items()},
    }
    yield from ((name, value) for name, value in figures.items() if value is not None)


def _changes(run: RunConfig, after: Evaluated, before: Evaluated) -> Iterator[tuple[str, float]]:
    judge = after[0].verdict_judge.name
    values: dict[str, Callable[[EvaluationRow], float | None]] = {
        "cer": lambda row: row.judges[judge].cer,
        **{
            f"quality.{name}": lambda row, name=name: row.quality.get(name)
            for name in after[0].modes[SAMPLED].mean_quality
        },
    }
    settings = {"samples": run.eval.bootstrap_samples, "seed": run.seed}
    for name, value in values.items():
        sides = [mean_by_text(_sampled(rows), value) for _, rows in (before, after)]
        if both := sorted(sides[0].keys() & sides[1].keys()):
            before_T, after_T = ([side[text] for text in both] for side in sides)
            change = paired_bootstrap(before_T, after_T, **settings).difference
            yield from _limits(f"{name}_change", change)
            moved_T = np.subtract(after_T, before_T)
            yield from _limits_of_run(
                f"{name}_change", run, change.value, _error(moved_T), len(both)
            )
    for figure in adaptations(*after, *before, **settings):
        if figure.mode == SAMPLED:
            gap = figure.adaptation
            yield from _limits("adaptation", gap)
            error = (gap.high - gap.low) / (2 * Z_95)
            yield from _limits_of_run("adaptation", run, gap.value, error, figure.texts)
            break


def _limits(name: str, one: Estimate | Interval) -> Iterator[tuple[str, float]]:
    yield from ((name, one.value), (f"{name}_low", one.low), (f"{name}_high", one.high))


def _limits_of_run(
    name: str, run: RunConfig, value: float, standard_error: float, texts: int
) -> Iterator[tuple[str, float]]:
    """Limits that hold for all evaluations of the run at once."""
    limits = simultaneous(value, standard_error, texts, planned_evaluations(run))
    if limits is not None:
        yield from zip((f"{name}_run_low", f"{name}_run_high"), limits, strict=True)


def _error(values_T: NDArray[np.float64]) -> float:
    """Standard error of a mean."""
    return float(values_T.std(ddof=1) / np.sqrt(len(values_T))) if len(values_T) > 1 else 0.0


def _sampled(rows: Sequence[EvaluationRow]) -> list[EvaluationRow]:
    return [row for row in rows if row.mode == SAMPLED]
