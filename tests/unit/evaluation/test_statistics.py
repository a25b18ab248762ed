"""The paired bootstrap on cases whose answer is known."""

import math

import numpy as np
import pytest

from ttsrl.evaluation.bootstrap import Estimate, paired_bootstrap


def test_constant_values_have_no_spread() -> None:
    result = paired_bootstrap([0.4] * 9, [0.1] * 9)
    for estimate, value in [
        (result.before, 0.4),
        (result.after, 0.1),
        (result.difference, -0.3),
        (result.relative_change, -0.75),
    ]:
        assert estimate is not None
        assert [estimate.value, estimate.low, estimate.high] == pytest.approx([value] * 3)


def test_interval_of_a_mean_agrees_with_the_normal_one() -> None:
    values = np.random.default_rng(0).normal(5.0, 1.0, size=400)
    interval = paired_bootstrap(list(values), list(values), samples=20_000).before
    half_width = 1.959964 * values.std() / math.sqrt(400)
    assert interval.value == pytest.approx(values.mean())
    assert interval.low == pytest.approx(values.mean() - half_width, abs=0.1 * half_width)
    assert interval.high == pytest.approx(values.mean() + half_width, abs=0.1 * half_width)


def test_what_is_common_to_a_text_cancels_in_the_difference() -> None:
    before = np.random.default_rng(1).uniform(1, 9, size=50)
    result = paired_bootstrap(list(before), list(before - 0.5))
    assert result.before.high - result.before.low > 0.5
    assert [result.difference.low, result.difference.high] == pytest.approx([-0.5, -0.5])
    halved = paired_bootstrap(list(before), list(before / 2))
    assert halved.relative_change is not None
    assert [halved.relative_change.low, halved.relative_change.high] == pytest.approx([-0.5] * 2)


def test_two_texts_give_the_quantiles_of_their_three_resamples() -> None:
    # Drawn means are 0, 0.5 and 1 with probabilities 1/4, 1/2 and 1/4.
    at_40_percent = paired_bootstrap([0, 1], [0, 1], confidence=0.4).before
    at_90_percent = paired_bootstrap([0, 1], [0, 1], confidence=0.9).before
    assert at_40_percent == Estimate(0.5, 0.5, 0.5)
    assert at_90_percent == Estimate(0.5, 0.0, 1.0)


def test_seeded() -> None:
    before, after = [0.1, 0.5, 0.2, 0.9], [0.0, 0.4, 0.3, 0.2]
    assert paired_bootstrap(before, after, seed=3) == paired_bootstrap(before, after, seed=3)
    a, b = (paired_bootstrap(before, after, seed=s, samples=100) for s in (3, 4))
    assert a != b


def test_no_relative_change_from_nothing() -> None:
    result = paired_bootstrap([0.0, 0.0], [0.1, 0.2])
    assert result.relative_change is None
    assert result.difference.value == pytest.approx(0.15)


@pytest.mark.parametrize(
    "before, after, message",
    [
        ([], [], "got 0 and 0"),
        ([1.0], [1.0, 2.0], "got 1 and 2"),
        ([math.nan], [1.0], "finite"),
    ],
)
def test_unusable_values_are_refused(before: list[float], after: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        paired_bootstrap(before, after)
