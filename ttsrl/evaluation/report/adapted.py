"""Adaptation in the report's words: what only the reward's kin hears."""

from __future__ import annotations

from ttsrl.evaluation.adaptation import adaptations
from ttsrl.evaluation.report.inputs import Evaluation, RunFolder
from ttsrl.records.evaluation import AdaptationFigure, Interval


def adaptation_of(folder: RunFolder) -> list[AdaptationFigure]:
    """Of the held-out texts; empty where it has no value."""
    if folder.before is None or folder.after is None:
        return []
    return adaptation_between(
        folder.before,
        folder.after,
        samples=folder.run.eval.bootstrap_samples,
        seed=folder.run.seed,
    )


def adaptation_between(
    before: Evaluation, after: Evaluation, *, samples: int, seed: int
) -> list[AdaptationFigure]:
    """Of two evaluations of one suite."""
    return adaptations(
        after.report, after.rows, before.report, before.rows, samples=samples, seed=seed
    )


def told(figure: AdaptationFigure) -> str:
    """What one figure means."""
    gap = figure.adaptation
    words = (
        f"{figure.kin}, kin of what gave the reward, hears {_gain(figure.kin_gain)} and "
        f"{figure.unlike} {_gain(figure.unlike_gain)} in {figure.mode} speech: a difference of "
        f"{points(gap.value)} (adaptation; 95 % interval {points(gap.low)} to {points(gap.high)})."
    )
    if gap.low > 0:
        words += " That part of the gain only the reward's kin hears."
    return words


def points(value: float) -> str:
    """A difference of two relative gains, in percentage points, with a true minus."""
    return f"{value * 100:+.0f} points".replace("-", "−")


def gain(value: float) -> str:
    """A relative gain in whole percent, with a true minus."""
    return f"{value * 100:+.0f} %".replace("-", "−")


def _gain(interval: Interval) -> str:
    word = "fall" if interval.value >= 0 else "rise"
    return f"a {word} of the error rate by {abs(interval.value) * 100:.0f} %"
