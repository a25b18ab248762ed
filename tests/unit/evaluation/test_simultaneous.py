"""Limits that hold for all evaluations of a run at once."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.stats import t as t_distribution

from support.paths import TINY
from ttsrl.config.load import load_run
from ttsrl.evaluation.simultaneous import simultaneous, student_t
from ttsrl.guards.planned import planned_evaluations


@pytest.mark.parametrize("tail", [0.025, 0.0025, 0.00025])
@pytest.mark.parametrize("freedom", [4, 8, 63, 499])
def test_the_quantile_of_student_is_scipys(tail: float, freedom: int) -> None:
    assert student_t(tail, freedom) == pytest.approx(t_distribution.isf(tail, freedom), rel=0.02)


def test_of_all_intervals_of_a_run_one_is_beside_the_truth_in_at_most_5_percent() -> None:
    evaluations, texts, runs = 20, 24, 2000
    draws = np.random.default_rng(1).standard_t(3, (runs, evaluations, texts))  # some far off
    means, errors = draws.mean(axis=2), draws.std(axis=2, ddof=1) / np.sqrt(texts)

    def share_beside(planned: int) -> float:
        found = [
            [simultaneous(*pair, texts, planned) for pair in zip(*run, strict=True)]
            for run in zip(means, errors, strict=True)
        ]
        beside = [any(x is None or not x[0] <= 0 <= x[1] for x in limits) for limits in found]
        return float(np.mean(beside))

    assert share_beside(evaluations) < 0.05
    assert share_beside(1) > 0.4  # 1 - 0.95**20 is 0.64; heavy tails make it less


def test_a_change_without_scatter_is_sure_and_one_text_alone_never() -> None:
    assert simultaneous(0.2, 0.0, 5, 100) == (0.2, 0.2)
    assert simultaneous(0.2, 0.0, 1, 1) is None


@pytest.mark.parametrize(
    ("steps", "save_every", "during", "planned"),
    [(60, 3, {}, 20), (60, 3, {"every": 2}, 10), (61, 3, {"every": 2}, 11), (5, 100, None, 1)],
)
def test_a_run_plans_one_evaluation_for_each_checkpoint_that_is_due_and_for_the_last(
    steps: int, save_every: int, during: dict[str, int] | None, planned: int
) -> None:
    settings = [f"train.steps={steps}", f"train.save_every={save_every}"]
    run = load_run(TINY / "run.json", [*settings, f"eval.during_training={json.dumps(during)}"])
    assert planned_evaluations(run) == planned
