"""Limits that hold for every evaluation of a run at once, so that many looks are not many chances.

A 95 % interval of one evaluation misses the true value in 5 % of cases. A run has as many intervals
as evaluated checkpoints, and a guard that stops on any one of them would stop many long runs that
did not get worse.
"""

from __future__ import annotations

from statistics import NormalDist

CONFIDENCE = 0.95
"""That all intervals of a run hold together; half of what is left is on either side."""


def simultaneous(
    value: float, standard_error: float, texts: int, evaluations: int
) -> tuple[float, float] | None:
    """Limits of a mean over texts that hold together with those of the run's other evaluations;
    None for one text, which has no scatter.

    They are Student's t of T - 1 degrees of freedom for T texts, at Bonferroni's level of
    (1 - CONFIDENCE) / evaluations, for which nothing has to be known of how evaluations depend on
    each other. A bootstrap cannot tell a quantile that far out: of 2000 resamples two or three lie
    beyond it. Where speech has not changed, the differences of texts are symmetric about 0, and
    Student's t then errs towards wide limits whatever their distribution (Efron, Student's t-Test
    under Symmetry Conditions, JASA 64, 1969).
    """
    if texts < 2:
        return None
    tail = (1 - CONFIDENCE) / 2 / evaluations
    half = student_t(tail, texts - 1) * standard_error
    return value - half, value + half


def student_t(tail: float, freedom: int) -> float:
    """The value beyond which Student's t lies with probability `tail` (below 0.5).

    Fisher and Cornish's expansion about the normal quantile (Abramowitz and Stegun, 26.7.5), within
    2 % from 4 degrees of freedom on: the trainer's image is without SciPy.
    """
    z, n = -NormalDist().inv_cdf(tail), freedom
    return (
        z
        + (z**3 + z) / (4 * n)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * n**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * n**3)
        + (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / (92160 * n**4)
    )
