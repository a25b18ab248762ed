"""What a difference between two evaluations of the same texts is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Estimate:
    """A mean and the limits of its confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class PairedBootstrap:
    """Two evaluations of the same texts."""

    before: Estimate
    after: Estimate
    difference: Estimate
    """after - before, in the unit of the values."""
    relative_change: Estimate | None
    """after / before - 1 as a ratio; None where a resample's mean before is 0."""


def paired_bootstrap(
    before_T: Sequence[float],
    after_T: Sequence[float],
    *,
    samples: int = 2000,
    seed: int = 0,
    confidence: float = 0.95,
) -> PairedBootstrap:
    """Percentile intervals of two means over the same texts, resampling texts.

    Each resample draws whole texts with replacement and takes both of a text's values, so what is
    hard about a text cancels in the difference. A text with several utterances enters as one value,
    their mean: utterances of one text are not independent evidence.

    Method: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13; paired over
    test items as in Koehn, Statistical Significance Tests for Machine Translation Evaluation
    (EMNLP 2004). Raises ValueError for no texts, unequal lengths and values that are not finite.
    """
    if not 0 < len(before_T) == len(after_T):
        raise ValueError(
            "a paired bootstrap needs a value before and after for each text: got "
            f"{len(before_T)} and {len(after_T)} values"
        )
    values = np.array([before_T, after_T], dtype=np.float64)
    if not np.isfinite(values).all():
        raise ValueError("a paired bootstrap needs finite values; leave failed texts out of both")
    return _bootstrap(values, samples, seed, confidence)


def _bootstrap(
    values: NDArray[np.float64], samples: int, seed: int, confidence: float
) -> PairedBootstrap:
    """Values [2, T]; a resample is how often each text was drawn, so its means are one product."""
    texts = values.shape[1]
    counts = np.random.default_rng(seed).multinomial(texts, [1 / texts] * texts, size=samples)
    before, after = values @ counts.T / texts
    mean_before, mean_after = values.mean(axis=1)

    def estimate(value: float, resampled: NDArray[np.float64]) -> Estimate:
        tail = (1 - confidence) / 2
        low, high = np.quantile(resampled, [tail, 1 - tail])
        return Estimate(float(value), float(low), float(high))

    return PairedBootstrap(
        before=estimate(mean_before, before),
        after=estimate(mean_after, after),
        difference=estimate(mean_after - mean_before, after - before),
        relative_change=estimate(mean_after / mean_before - 1, after / before - 1)
        if mean_before and before.all()
        else None,
    )
