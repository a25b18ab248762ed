import math
from typing import Literal

import pytest
from pydantic import ValidationError

from ttsrl.reward.components import Cer, Nll, Rate, Wer, compose, utilities_of
from ttsrl.reward.config import RewardConfig, WhisperConfig

# channel-io/ch-tts-llasa-rl-grpo, tts_cer.py with its defaults: beta 3, tau 3, weights 0.6 and 0.4.
GOLDEN = [
    (0, 0, 1.0),
    (0, 0.2, 0.9732),
    (0, 1, 0.8634),
    (0.02, 0.2, 0.9382),
    (0.05, 0.5, 0.8493),
    (0.1, 0.5, 0.7580),
    (0.2, 1, 0.5393),
    (0.5, 2, 0.1408),
    (1, 4, 0.0081),
    (0, 8, 0.1573),
]


def reward(cer: float, nll: float) -> float:
    components = [(Cer(), cer), (Nll(), nll)]
    utilities = {c.type: c.utility(raw) for c, raw in components}
    return compose(utilities, {c.type: c.weight for c, _ in components})


@pytest.mark.parametrize(("cer", "nll", "expected"), GOLDEN)
def test_golden_rewards(cer: float, nll: float, expected: float) -> None:
    assert reward(cer, nll) == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize(
    ("component", "half"), [(Cer(), math.atanh(0.5) / 3), (Nll(), 3 * math.log(2))]
)
def test_utilities_fall_from_1_through_one_half_to_0(component: Cer | Nll, half: float) -> None:
    assert component.utility(0) == 1
    assert component.utility(half) == pytest.approx(0.5)
    assert component.utility(1e4) == 0


def test_a_good_utility_cannot_buy_back_a_bad_one() -> None:
    weights = {"cer": 0.6, "nll": 0.4}
    assert compose({"cer": 0.0, "nll": 1.0}, weights) == 0
    assert compose({"cer": 1.0, "nll": 0.0}, weights) == 0
    assert compose({"cer": 0.01, "nll": 1.0}, weights) < 0.02


def test_only_the_ratio_of_weights_counts() -> None:
    utilities = {"cer": 0.3, "nll": 0.9}
    assert compose(utilities, {"cer": 6, "nll": 4}) == pytest.approx(
        compose(utilities, {"cer": 0.6, "nll": 0.4})
    )


def test_one_component_is_its_own_utility() -> None:
    assert compose({"cer": 0.37}, {"cer": 0.6}) == pytest.approx(0.37)


@pytest.mark.parametrize("bad", [{"weight": 0}, {"beta": -1}, {"gamma": 1}, {"beta": math.inf}])
def test_knobs_are_checked(bad: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Cer.model_validate(bad)


UTILITIES = {"cer": 0.9, "nll": 0.4}
WEIGHTS = {"cer": 3.0, "nll": 1.0}


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("harmonic", 4 / (3 / 0.9 + 1 / 0.4)),
        ("linear", (3 * 0.9 + 0.4) / 4),
        ("product", 0.9**3 * 0.4),
    ],
)
def test_three_ways_to_compose(
    how: Literal["harmonic", "linear", "product"], expected: float
) -> None:
    assert compose(UTILITIES, WEIGHTS, how) == pytest.approx(expected)
    assert compose({"cer": 1.0, "nll": 1.0}, WEIGHTS, how) == 1
    assert compose({"cer": 0.0, "nll": 0.0}, WEIGHTS, how) == 0


def test_a_harmonic_mean_may_take_no_utility_for_less_than_a_least_one() -> None:
    # Deep-unlearning/Llasa-GRPO: 1 / (0.6 / max(eps, u_wer) + 0.4 / max(eps, u_nll)).
    utilities = {"wer": Wer().utility(100.0), "nll": Nll().utility(1.0)}
    assert utilities["wer"] == 0
    expected = 1 / (0.6 / 1e-8 + 0.4 / math.exp(-1 / 3))
    weights = {"wer": 0.6, "nll": 0.4}
    assert compose(utilities, weights, least=1e-8) == pytest.approx(expected, rel=1e-12)
    assert compose(utilities, weights) == 0


@pytest.mark.parametrize(
    ("mode", "types"),
    [
        ("correct", ["cer", "nll"]),
        ("channel-io", ["cer", "nll"]),
        ("deep-unlearning", ["wer", "nll"]),
    ],
)
def test_each_mode_has_its_recipe_s_components_unless_others_are_given(
    mode: Literal["correct", "channel-io", "deep-unlearning"], types: list[str]
) -> None:
    whisper = WhisperConfig(model="w", mode=mode)
    assert [c.type for c in RewardConfig(whisper=whisper).components] == types
    own = RewardConfig(whisper=whisper, components=[Rate()])
    assert [c.type for c in own.components] == ["rate"]


@pytest.mark.parametrize("how", ["harmonic", "linear", "product"])
def test_a_component_of_weight_0_takes_no_part(
    how: Literal["harmonic", "linear", "product"],
) -> None:
    with_guard = compose(UTILITIES | {"guard": 0.0}, WEIGHTS | {"guard": 0.0}, how)
    assert with_guard == compose(UTILITIES, WEIGHTS, how)


def test_what_is_behind_the_cer_gate_is_worth_nothing_where_the_words_are_wrong() -> None:
    behind = Nll(max_cer=0.2)
    for cer, expected in [(0.2, behind.utility(1.0)), (0.21, 0.0)]:
        assert utilities_of([Cer(), behind], {"cer": cer, "nll": 1.0}, "en")["nll"] == expected
    assert utilities_of([behind], {"cer": 0.5, "nll": 1.0}, "en") == {"nll": 0.0}
