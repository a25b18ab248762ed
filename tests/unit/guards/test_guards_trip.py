"""Each built-in guard on made-up logs: one that must trip it, and what must not."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from ttsrl.config.guard_rules import Condition
from ttsrl.guards.built_in import BUILT_IN
from ttsrl.guards.guard import Guard
from ttsrl.guards.history import History
from ttsrl.guards.judging import bad_steps, findings, judge
from ttsrl.guards.nearness import nearest, nearness, share_of_limit
from ttsrl.records.step import TrainingStep

STEPS = 40
RAW = {
    "cer": 0.2,
    "nll": 2.0,
    "pitch_spread": 2.0,
    "voiced_share": 0.7,
    "dnsmos": 3.0,
    "distillmos": 3.0,
}


def step_of(number: int, **changes: Any) -> TrainingStep:
    """A step of a healthy run, and what is different in it."""
    wobble = 1 + 0.05 * math.sin(number)  # no two steps measure the same
    raw = {name: value * wobble for name, value in RAW.items()}
    line = {
        "step": number,
        "rollouts": 100,
        "prompts_sha256": "",
        "reward": 0.5 + 0.005 * number,
        "reward_std": 0.2,
        "length_tokens": 100.0,
        "duration_s": 4.0 * wobble,
        "chars_per_s": 14.0 * wobble,
        "end_token_rate": 0.98,
        "gated_share": 0.02,
        "gated_reasons": {"too_short": 2},
        "failed_share": 0.0,
        "failed_kinds": {},
        "distinct_share": 0.95,
        "entropy": 2.0 * (1 - 0.01 * number),
        "grad_norm": 0.4,
        "policy_loss": 0.01,
        "kl": 0.002 * number,
        "rollout_kl": 0.001 * wobble,
        "seconds": 10.0,
        "seconds_by_stage": {},
    }
    more = {name: changes.pop(name) for name in list(changes) if name in RAW}
    return TrainingStep.model_validate(line | changes | {"raw": raw | more, "utilities": {}})


def history_of(bad: Callable[[int], dict[str, Any]] = lambda number: {}) -> History:
    history = History(base_steps=3)
    for number in range(1, STEPS + 1):
        history.add_step(step_of(number, **bad(number)))
    return history


def slide(start: float, end: float, number: int) -> float:
    """From `start` to `end` over the run."""
    return start + (end - start) * number / STEPS


GUARDS = {name: guard for name, rule in BUILT_IN.items() if (guard := Guard.of(rule))}

MUST_TRIP: dict[str, Callable[[int], dict[str, Any]]] = {
    "end_token": lambda n: {"end_token_rate": slide(1.0, 0.5, n)},
    "rate_up": lambda n: {"chars_per_s": slide(14, 20, n)},
    "rate_down": lambda n: {"chars_per_s": slide(14, 8, n)},
    "duration_down": lambda n: {"duration_s": slide(4, 2, n)},
    "duration_up": lambda n: {"duration_s": slide(4, 9, n)},
    "pitch": lambda n: {"pitch_spread": slide(2, 1, n)},
    "voicing": lambda n: {"voiced_share": slide(0.7, 0.3, n)},
    "quality_distillmos": lambda n: {
        "dnsmos": slide(3, 4, n),
        "distillmos": slide(3, 2.2, n),
    },
    "quality_dnsmos": lambda n: {"distillmos": slide(3, 4, n), "dnsmos": slide(3, 2.2, n)},
    "gated": lambda n: {"gated_share": slide(0, 0.5, n)},
    "failed": lambda n: {"failed_share": 1.0 if n > 20 else 0.0},
    "collapse": lambda n: {"distinct_share": slide(1, 0.05, n)},
    "entropy_down": lambda n: {"entropy": 0.01 if n > 20 else 2.0},
    "entropy_up": lambda n: {"entropy": slide(2, 6, n)},
    "kl": lambda n: {"kl": slide(0, 3, n)},
    "rollout_kl": lambda n: {"rollout_kl": slide(0.001, 0.5, n)},
    "likelihood": lambda n: {"nll": slide(2, 1, n), "cer": slide(0.2, 0.4, n)},
    "gradient": lambda n: {"grad_norm": math.nan if n == 7 else 0.4},
    "loss": lambda n: {"policy_loss": math.inf if n == 7 else 0.01},
}
MUST_NOT: dict[str, Callable[[int], dict[str, Any]]] = {
    "end_token": lambda n: {"end_token_rate": 0.5},  # as bad as the policy was before
    "rate_up": lambda n: {"chars_per_s": 30.0 if n % 4 == 0 else 14.0},  # never twice in a row
    "rate_down": lambda n: {"chars_per_s": slide(14, 12, n)},
    "duration_down": lambda n: {"duration_s": slide(4, 3.2, n)},
    "duration_up": lambda n: {"duration_s": slide(4, 5, n)},
    "pitch": lambda n: {"pitch_spread": slide(2, 1.7, n)},
    "voicing": lambda n: {"voiced_share": slide(0.7, 0.6, n)},
    "quality_distillmos": lambda n: {"dnsmos": slide(3, 2, n), "distillmos": slide(3, 2, n)},
    "quality_dnsmos": lambda n: {"dnsmos": slide(3, 2, n), "distillmos": slide(3, 2, n)},
    "gated": lambda n: {"gated_share": slide(0.6, 0.1, n)},  # a policy that learns to speak
    "failed": lambda n: {"failed_share": 1.0 if n % 5 == 0 else 0.1},
    "collapse": lambda n: {"distinct_share": slide(0.55, 0.3, n)},
    "entropy_down": lambda n: {"entropy": slide(2, 0.5, n)},
    "entropy_up": lambda n: {"entropy": slide(2, 3, n)},
    "kl": lambda n: {"kl": None},
    # a cut by top_p, of which more is lost while the policy learns
    "rollout_kl": lambda n: {"rollout_kl": slide(0.2, 0.25, n)},
    "likelihood": lambda n: {"nll": slide(2, 1, n), "cer": slide(0.2, 0.1, n)},
    "gradient": lambda n: {"grad_norm": 1e6},
    "loss": lambda n: {"policy_loss": None},
}


EVALUATED = (10, 20, 30)


def evaluated(
    measures: Callable[[int], dict[str, float]], bad: Callable[[int], dict[str, Any]]
) -> History:
    """A run of which three checkpoints are evaluated."""
    history = history_of(bad)
    for step in (0, *EVALUATED):
        values = {f"eval.held_out.{name}": value for name, value in measures(step).items()}
        history.add_evaluation(step, values)
    return history


WORSE = {"cer_change_run_low": 0.01}
BETTER = {"cer_change_run_low": -0.05}
OF_EVALUATIONS: dict[str, tuple[History, History]] = {
    "held_out": (
        evaluated(lambda step: WORSE if step == 30 else BETTER, lambda n: {}),
        # worse, but the reward says so, too
        evaluated(lambda step: WORSE, lambda n: {"reward": slide(0.5, 0.3, n)}),
    ),
    "held_out_distillmos": (
        evaluated(
            lambda step: {"quality.distillmos_change_run_high": -0.01 * (step == 30)},
            lambda n: {"dnsmos": slide(3, 4, n)},
        ),
        evaluated(
            lambda step: {"quality.distillmos_change_run_high": 0.1},
            lambda n: {"dnsmos": slide(3, 4, n)},
        ),
    ),
    "held_out_dnsmos": (
        evaluated(
            lambda step: {"quality.dnsmos_change_run_high": -0.01 * (step == 30)},
            lambda n: {"distillmos": slide(3, 4, n)},
        ),
        evaluated(
            lambda step: {"quality.dnsmos_change_run_high": -0.1},
            lambda n: {"distillmos": slide(3, 2, n)},
        ),
    ),
    "adaptation": (
        evaluated(lambda step: {"adaptation_run_low": 0.3 if step == 30 else 0.1}, lambda n: {}),
        evaluated(lambda step: {"adaptation_run_low": 0.1}, lambda n: {}),
    ),
}


@pytest.mark.parametrize("name", OF_EVALUATIONS)
def test_a_guard_on_evaluations_trips_at_the_one_that_is_bad_and_at_no_other(name: str) -> None:
    must, must_not = OF_EVALUATIONS[name]
    [found] = findings(GUARDS[name], must)
    assert found.step == 30
    assert found.said.startswith(f"guard {name} at the evaluation of step 30: ")
    assert list(findings(GUARDS[name], must_not)) == []
    assert list(findings(GUARDS[name], history_of())) == []


def test_evaluations_may_come_late_and_in_any_order() -> None:
    history = history_of()
    for step, measures in ((20, WORSE), (0, BETTER), (10, BETTER)):
        values = {f"eval.held_out.{name}": value for name, value in measures.items()}
        history.add_evaluation(step, values)
    assert bad_steps(GUARDS["held_out"], history) == {20}


def test_every_built_in_guard_has_a_log_of_both_kinds() -> None:
    assert MUST_TRIP.keys() == MUST_NOT.keys()
    assert MUST_TRIP.keys() | OF_EVALUATIONS.keys() == GUARDS.keys() == BUILT_IN.keys()


@pytest.mark.parametrize("name", MUST_TRIP)
def test_trips(name: str) -> None:
    found = next(findings(GUARDS[name], history_of(MUST_TRIP[name])), None)
    assert found is not None
    assert found.step < STEPS
    assert found.said.startswith(f"guard {name} at step {found.step}: ")
    assert found.said.endswith(GUARDS[name].advice)


@pytest.mark.parametrize("name", MUST_NOT)
def test_does_not_trip(name: str) -> None:
    assert list(findings(GUARDS[name], history_of(MUST_NOT[name]))) == []


@pytest.mark.parametrize("name", MUST_TRIP)
def test_a_healthy_run_trips_none_and_what_trips_one_is_found_step_by_step(name: str) -> None:
    assert list(findings(GUARDS[name], history_of())) == []
    grown, live = History(base_steps=3), list[int]()
    for number in range(1, STEPS + 1):
        grown.add_step(step_of(number, **MUST_TRIP[name](number)))
        if (found := judge(GUARDS[name], grown)) is not None:
            live.append(found.step)
    later = findings(GUARDS[name], history_of(MUST_TRIP[name]))
    assert live == [found.step for found in later]


def test_the_line_has_figures_and_what_they_are_compared_with() -> None:
    found = next(findings(GUARDS["pitch"], history_of(MUST_TRIP["pitch"])))
    assert "pitch_spread is 1.4, more than 25 % below the base's 1.95: the pitch" in found.said
    assert found.figures[0].reference == pytest.approx(1.95)
    gradient = next(findings(GUARDS["gradient"], history_of(MUST_TRIP["gradient"])))
    assert "grad_norm is nan: lower" in gradient.said


def test_a_step_that_is_done_again_takes_the_place_of_the_first() -> None:
    history = history_of(MUST_TRIP["gradient"])
    assert bad_steps(GUARDS["gradient"], history) == {7}
    for number in range(6, 10):
        history.add_step(step_of(number))
    assert history.last_step == 9
    assert bad_steps(GUARDS["gradient"], history) == set()


def test_bad_steps_are_the_whole_stretch_and_not_what_came_before_or_after() -> None:
    def dip(number: int) -> dict[str, Any]:
        return {"end_token_rate": 0.5 if 10 <= number <= 20 or number == 30 else 1.0}

    assert bad_steps(GUARDS["end_token"], history_of(dip)) == set(range(10, 21))


@pytest.mark.parametrize("name", MUST_TRIP)
def test_a_guard_is_at_its_limit_where_it_trips_and_before_it_elsewhere(name: str) -> None:
    guard = GUARDS[name]
    for history in (history_of(MUST_TRIP[name]), history_of(MUST_NOT[name]), history_of()):
        trips = {found.step for found in findings(guard, history)}
        most = nearest(guard, history)
        if most is None:  # what it watches is not logged
            assert trips == set()
        elif trips:
            assert most.share >= 1
            assert most.step in trips
        else:
            assert most.share < 1


@pytest.mark.parametrize("name", OF_EVALUATIONS)
def test_a_guard_on_evaluations_is_at_its_limit_where_it_trips(name: str) -> None:
    must, must_not = OF_EVALUATIONS[name]
    most, least = nearest(GUARDS[name], must), nearest(GUARDS[name], must_not)
    assert most is not None and (most.step, most.share >= 1) == (30, True)
    assert least is not None and least.share < 1


def test_nearness_is_the_share_of_the_way_that_the_steps_in_a_row_have_gone() -> None:
    history = History(base_steps=3)
    for number in range(1, 12):
        fall = {4: 0.5, 5: 0.6, 6: 0.7, 7: 0.8, 8: 0.9}.get(number, 1.0)  # of the way to 25 %
        history.add_step(step_of(number, pitch_spread=2.0 if number <= 3 else 2.0 - 0.5 * fall))
        found = nearness(GUARDS["pitch"], history)
        if number == 8:
            assert found is not None
            assert (found.step, found.share) == (8, pytest.approx(0.5))  # the least of five steps
    found = nearness(GUARDS["pitch"], history)
    assert found is not None
    assert (found.step, found.share) == (11, pytest.approx(0.8))


def test_a_rising_limit_a_lower_one_and_one_of_zero_tell_their_way() -> None:
    def share(value: float, reference: float | None = None, **limit: Any) -> float:
        return share_of_limit(Condition(measure="m", **limit), value, reference)

    assert share(0.5, above=1.0) == 0.5
    assert share(0.8, below=0.4) == 0.5
    assert share(-0.1, below=0.4) == math.inf
    assert share(12.0, 10.0, rises=0.4, relative=True) == pytest.approx(0.5)
    assert share(9.0, 10.0, rises=0.4, relative=True) == 0
    assert share(8.0, 10.0, falls=4.0) == 0.5
    assert (share(10.1, 10.0, rises=0), share(10.0, 10.0, rises=0)) == (math.inf, 0)
    assert (share(math.nan, not_finite=True), share(1.0, not_finite=True)) == (math.inf, 0)
    assert share(math.nan, above=1.0) == 0
    assert share(5.0, None, rises=1.0) == 0


# A guard -> figures at a share of the way from the base to the limit that docs/guards.md gives.
WAY: dict[str, Callable[[float], dict[str, float]]] = {
    "end_token": lambda way: {"end_token_rate": 1.0 - 0.2 * way},
    "rate_up": lambda way: {"chars_per_s": 14 * (1 + 0.2 * way)},
    "rate_down": lambda way: {"chars_per_s": 14 * (1 - 0.25 * way)},
    "duration_down": lambda way: {"duration_s": 4 * (1 - 0.25 * way)},
    "duration_up": lambda way: {"duration_s": 4 * (1 + 0.5 * way)},
    "pitch": lambda way: {"pitch_spread": 2 * (1 - 0.25 * way)},
    "voicing": lambda way: {"voiced_share": 0.7 * (1 - 0.25 * way)},
    "quality_distillmos": lambda way: {"dnsmos": 3 + way, "distillmos": 3 - 0.2 * way},
    "quality_dnsmos": lambda way: {"distillmos": 3 + way, "dnsmos": 3 - 0.2 * way},
    "gated": lambda way: {"gated_share": 0.1 + 0.2 * way},
    "failed": lambda way: {"failed_share": 0.5 * way},
    "collapse": lambda way: {"distinct_share": 1 - 0.6 * way},
    "entropy_down": lambda way: {"entropy": 2 * (1 - 0.9 * way)},
    "entropy_up": lambda way: {"entropy": 2 * (1 + way)},
    "kl": lambda way: {"kl": 1.0 * way},
    "rollout_kl": lambda way: {"rollout_kl": 0.02 + 0.1 * way},
    "likelihood": lambda way: {"nll": 2 * (1 - 0.1 * way), "cer": 0.2 + 0.1 * way},
}


@pytest.mark.parametrize("name", WAY)
def test_a_guard_trips_at_the_fifth_step_beyond_its_limit_and_at_none_before_it(name: str) -> None:
    def trips(way: float) -> list[int]:
        history = History(base_steps=3)
        for number in range(1, 13):
            history.add_step(step_of(number, **WAY[name](way if number > 3 else 0.0)))
        return [found.step for found in findings(GUARDS[name], history)]

    assert trips(0.97) == []
    assert trips(1.03) == [8, 9, 10, 11, 12]


def test_every_guard_on_steps_has_its_limit_in_that_table() -> None:
    once = {"gradient", "loss"}  # a number that is not finite has no way to it
    assert WAY.keys() | once | OF_EVALUATIONS.keys() == GUARDS.keys()


def test_a_held_out_quality_that_falls_beside_the_other_one_is_not_fooled() -> None:
    fallen = evaluated(
        lambda step: {"quality.distillmos_change_run_high": -0.1},
        lambda n: {"dnsmos": slide(3, 2, n)},
    )
    assert list(findings(GUARDS["held_out_distillmos"], fallen)) == []


def test_an_adaptation_of_25_points_is_the_limit() -> None:
    for low, trips in ((0.24, 0), (0.26, 3)):
        history = evaluated(lambda step, low=low: {"adaptation_run_low": low}, lambda n: {})
        assert len(list(findings(GUARDS["adaptation"], history))) == trips
