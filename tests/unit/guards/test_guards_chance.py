"""What guards on evaluations do in whole runs that do not change, and in those that do."""

from __future__ import annotations

from functools import cache

import pytest
from scipy.stats import binom

from benchmarks.guards_false_stops import SPEECH, acting, run_of

RUNS, EVALUATIONS, TEXTS = 40, 20, 32
AT_MOST = 0.025
"""Of flat runs: that a guard on evaluations acts in one, as docs/guards.md says."""
ALONE = "each_alone"
"""The same as `held_out`, with the 95 % interval of each evaluation."""
CHANCE = int(binom.ppf(0.999, RUNS, AT_MOST))
"""More of these runs than that act in one of 1000 samples, if the limit is kept."""


@cache
def acted_in(speech: str, worse: float) -> dict[str, int]:
    """Guard -> runs in which it acted."""
    run = run_of(EVALUATIONS, TEXTS, samples=200)
    found = [acting(run, speech, seed, worse) for seed in range(RUNS)]
    return {name: sum(one[name] > 0 for one in found) for name in found[0]}


@pytest.mark.parametrize("speech", SPEECH)
def test_in_a_run_that_does_not_change_no_guard_acts_more_often_than_said(speech: str) -> None:
    counts = acted_in(speech, 0.0)
    assert counts.keys() == {
        "held_out",
        "held_out_dnsmos",
        "held_out_distillmos",
        "adaptation",
        ALONE,
    }
    assert [name for name, count in counts.items() if count > CHANCE] == [ALONE]


def test_speech_that_is_10_points_worse_is_found_all_the_same() -> None:
    assert acted_in("often wrong", 0.1)["held_out"] == RUNS
