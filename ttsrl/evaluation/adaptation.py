"""Adaptation: how much of a gain only the reward's kin hears.

A policy that learns to please one recogniser improves for its kin more than for a judge of other
descent. Both gains are of the same texts, so that what is hard about a text cancels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ttsrl.config.schema import RunConfig
from ttsrl.errors import BadInput
from ttsrl.evaluation.summary import mean_by_text
from ttsrl.records.evaluation import (
    REPORT,
    ROWS,
    AdaptationFigure,
    EvaluationReport,
    EvaluationRow,
    Interval,
)
from ttsrl.records.record import read_file, read_lines, to_text
from ttsrl.storage.atomic import replace_text


def write_adaptation(run: RunConfig, folder: Path, before: Path) -> EvaluationReport:
    """Add to the report in a folder its adaptation against the evaluation in another one.

    That is the evaluation of the policy before training. Returns the report, as it was where the
    other folder has none. Raises BadInput.
    """
    report, base = (read_file(EvaluationReport, side / REPORT) for side in (folder, before))
    if report is None:
        raise BadInput(f"no finished evaluation in {folder}: {REPORT} is missing")
    if base is None:
        return report
    rows, rows_before = (read_lines(EvaluationRow, side / ROWS) for side in (folder, before))
    figures = adaptations(
        report, rows, base, rows_before, samples=run.eval.bootstrap_samples, seed=run.seed
    )
    if figures == report.adaptation:
        return report
    report = report.model_copy(update={"adaptation": figures})
    replace_text(folder / REPORT, to_text(report))
    return report


def adaptations(
    report: EvaluationReport,
    rows: Sequence[EvaluationRow],
    before: EvaluationReport,
    rows_before: Sequence[EvaluationRow],
    *,
    samples: int,
    seed: int,
) -> list[AdaptationFigure]:
    """A figure for each judge that is kin to the reward, and each mode.

    None where the two evaluations cannot be compared, where the verdict rests on no unlike judge,
    or where a judge heard no error before training in some resample: then a relative gain has no
    value.
    """
    verdict = report.verdict_judge
    if report.identity.protocol != before.identity.protocol or verdict.relation != "unlike":
        return []
    found = (
        _figure(verdict.name, judge.name, mode, (rows_before, rows), samples, seed)
        for mode in report.modes
        for judge in report.judges
        if judge.relation in ("kin", "same")
    )
    return [figure for figure in found if figure is not None]


def _figure(
    unlike: str,
    kin: str,
    mode: str,
    sides: tuple[Sequence[EvaluationRow], Sequence[EvaluationRow]],
    samples: int,
    seed: int,
) -> AdaptationFigure | None:
    by_text = list(_cer_by_text(sides, (kin, unlike), mode))
    texts = sorted(set[int].intersection(*(set(cers) for cers in by_text)))
    if not texts:
        return None
    cers_4T = np.array([[cers[index] for index in texts] for cers in by_text])
    counts = np.random.default_rng(seed).multinomial(
        len(texts), [1 / len(texts)] * len(texts), size=samples
    )
    resampled_4S = cers_4T @ counts.T / len(texts)
    if not (cers_4T[[0, 2]].any(axis=1).all() and resampled_4S[[0, 2]].all()):
        return None
    value_2 = _gains(cers_4T.mean(axis=1, keepdims=True))[:, 0]
    gains_2S = _gains(resampled_4S)
    return AdaptationFigure(
        kin=kin,
        unlike=unlike,
        mode=mode,
        texts=len(texts),
        kin_gain=_interval(value_2[0], gains_2S[0]),
        unlike_gain=_interval(value_2[1], gains_2S[1]),
        adaptation=_interval(value_2[0] - value_2[1], gains_2S[0] - gains_2S[1]),
    )


def _cer_by_text(
    sides: tuple[Sequence[EvaluationRow], Sequence[EvaluationRow]],
    judges: tuple[str, str],
    mode: str,
) -> Iterator[dict[int, float]]:
    """CER by text of the first judge before and after, then of the second."""
    for judge in judges:
        for rows in sides:
            of_mode = (row for row in rows if row.mode == mode)
            yield mean_by_text(of_mode, lambda row, judge=judge: row.judges[judge].cer)


def _gains(cers_4S: NDArray[np.float64]) -> NDArray[np.float64]:
    """Relative falls [2, S] of both judges' means before and after [4, S]."""
    return 1 - cers_4S[[1, 3]] / cers_4S[[0, 2]]


def _interval(value: float, resampled_S: NDArray[np.float64]) -> Interval:
    low, high = np.quantile(resampled_S, [0.025, 0.975])
    return Interval(value=float(value), low=float(low), high=float(high))
