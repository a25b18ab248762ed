import numpy as np
import pytest
import torch
from verl.trainer.ppo.core_algos import (
    compute_gdpo_outcome_advantage,
    compute_grpo_outcome_advantage,
    compute_rloo_outcome_advantage,
    get_adv_estimator_fn,
)

from support.paths import TINY
from ttsrl.config.load import load_run
from ttsrl.training.advantage import components, group_advantages
from ttsrl.training.rollout_worker import advantages_in_group
from ttsrl.training.verl_args import ESTIMATORS, NO_REWARD
from ttsrl.wire import Failed, Gated, Ok, Outcome

TINY_RUN = TINY / "run.json"


def rewards_of(groups: int, size: int) -> tuple[torch.Tensor, np.ndarray]:
    rewards = torch.rand(groups * size, generator=torch.Generator().manual_seed(7))
    return rewards, np.repeat([f"group-{i}" for i in range(groups)], size)


@pytest.mark.parametrize("normalise_by_std", [True, False])
def test_without_failures_the_advantages_are_verls_grpo(normalise_by_std: bool) -> None:
    rewards, groups = rewards_of(4, 12)
    theirs, _ = compute_grpo_outcome_advantage(
        rewards.unsqueeze(1), torch.ones(48, 1), groups, norm_adv_by_std_in_grpo=normalise_by_std
    )
    ours = group_advantages(rewards, groups, normalise_by_std=normalise_by_std)
    torch.testing.assert_close(ours, theirs.squeeze(1), rtol=0, atol=1e-6)


def rloo(rewards: torch.Tensor, groups: np.ndarray) -> torch.Tensor:
    """What verl is given by the estimator that it finds for `train.advantage = "rloo"`."""
    estimator = get_adv_estimator_fn(ESTIMATORS["rloo"])
    advantages, _ = estimator(
        token_level_rewards=rewards.unsqueeze(1),
        response_mask=torch.ones(len(rewards), 1),
        index=groups,
        config={"norm_adv_by_std_in_grpo": True},
    )
    return advantages.squeeze(1)


def test_without_failures_the_advantages_are_verls_rloo() -> None:
    rewards, groups = rewards_of(4, 12)
    theirs, _ = compute_rloo_outcome_advantage(
        rewards.unsqueeze(1).clone(), torch.ones(48, 1), groups
    )
    torch.testing.assert_close(rloo(rewards, groups), theirs.squeeze(1), rtol=0, atol=1e-6)


def test_rloo_leaves_out_what_failed() -> None:
    rewards = torch.tensor([0.2, NO_REWARD, 0.6, 1.0, NO_REWARD, 0.3])
    advantages = rloo(rewards, np.array(["a", "a", "a", "a", "b", "b"]))
    torch.testing.assert_close(advantages, torch.tensor([-0.6, 0.0, 0.0, 0.6, 0.0, 0.0]))


@pytest.mark.parametrize("normalise_by_std", [True, False])
def test_with_a_fifth_failed_the_others_advantages_are_those_of_the_group_without_them(
    normalise_by_std: bool,
) -> None:
    rewards, groups = rewards_of(10, 10)
    failed = torch.zeros(100, dtype=torch.bool)
    failed[torch.randperm(100, generator=torch.Generator().manual_seed(1))[:20]] = True
    with_failures = torch.where(failed, torch.tensor(NO_REWARD), rewards)

    advantages = group_advantages(with_failures, groups, normalise_by_std=normalise_by_std)
    without = group_advantages(
        rewards[~failed], groups[~failed.numpy()], normalise_by_std=normalise_by_std
    )

    assert torch.equal(advantages[~failed], without)
    assert torch.equal(advantages[failed], torch.zeros(20))


def test_a_group_with_one_measured_rollout_moves_nothing() -> None:
    rewards = torch.tensor([0.9, NO_REWARD, NO_REWARD])
    advantages = group_advantages(rewards, np.array(["a"] * 3), normalise_by_std=True)
    assert advantages.tolist() == [0.0, 0.0, 0.0]


def test_a_reward_of_zero_is_a_measurement() -> None:
    rewards = torch.tensor([0.0, 1.0])
    advantages = group_advantages(rewards, np.array(["a", "a"]), normalise_by_std=False)
    assert advantages.tolist() == [-0.5, 0.5]


def test_verl_finds_the_estimator_and_it_covers_the_response_only() -> None:
    estimator = get_adv_estimator_fn("ttsrl_grpo")
    rewards = torch.tensor([[0.0, 0.2, 0.0], [0.0, 0.0, 0.6]])
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]])
    advantages, returns = estimator(
        token_level_rewards=rewards,
        response_mask=mask,
        index=np.array(["a", "a"]),
        config={"norm_adv_by_std_in_grpo": False},
    )
    expected = torch.tensor([[-0.2, -0.2, 0.0], [0.2, 0.2, 0.2]])
    torch.testing.assert_close(advantages, expected)
    torch.testing.assert_close(returns, expected)


def test_a_group_rewarded_alike_gets_exactly_nothing() -> None:
    rewards = torch.tensor([0.1] * 3 + [NO_REWARD])
    advantages = group_advantages(rewards, np.array(["a"] * 4), normalise_by_std=True)
    assert advantages.tolist() == [0.0] * 4


WEIGHTS = torch.tensor([0.6, 0.4, 1.0])


def gdpo(
    utilities_BK: torch.Tensor, groups: np.ndarray, normalise_by_std: bool = True
) -> torch.Tensor:
    estimator = get_adv_estimator_fn("ttsrl_gdpo")
    rows = len(utilities_BK)
    with components(utilities_BK.tolist(), WEIGHTS.tolist()):
        advantages, _ = estimator(
            token_level_rewards=torch.zeros(rows, 1),
            response_mask=torch.ones(rows, 1),
            index=groups,
            config={"norm_adv_by_std_in_grpo": normalise_by_std},
        )
    return advantages.squeeze(1)


def utilities_of(groups: int, size: int) -> tuple[torch.Tensor, np.ndarray]:
    """Three components on very different scales."""
    utilities = torch.rand(groups * size, 3, generator=torch.Generator().manual_seed(3))
    return utilities * torch.tensor([1.0, 0.05, 0.3]), np.repeat(np.arange(groups), size)


@pytest.mark.parametrize("normalise_by_std", [True, False])
def test_without_failures_components_are_compared_as_verls_gdpo_does(
    normalise_by_std: bool,
) -> None:
    utilities, groups = utilities_of(4, 12)
    names = ["cer", "nll", "style"]
    theirs, _ = compute_gdpo_outcome_advantage(
        torch.zeros(48, 1),
        torch.ones(48, 1),
        groups,
        norm_adv_by_std_in_grpo=normalise_by_std,
        config={"gdpo_reward_keys": names, "gdpo_reward_weights": WEIGHTS.tolist()},
        non_tensor_batch={name: utilities[:, k].numpy() for k, name in enumerate(names)},
        batch={
            "prompts": torch.zeros(48, 1),
            "attention_mask": torch.ones(48, 2, dtype=torch.long),
        },
    )
    # responses of one token: over rollouts and over tokens is the same then
    ours = gdpo(utilities, groups, normalise_by_std)
    torch.testing.assert_close(ours, theirs.squeeze(1), rtol=0, atol=1e-5)


def test_every_component_moves_a_group_by_its_weight_and_not_by_its_spread() -> None:
    utilities, groups = utilities_of(6, 8)
    stretched = utilities * torch.tensor([1.0, 20.0, 3.0])
    torch.testing.assert_close(gdpo(utilities, groups), gdpo(stretched, groups), rtol=0, atol=2e-3)


def test_failed_rollouts_are_left_out_of_every_component_and_of_the_batch() -> None:
    utilities, groups = utilities_of(10, 10)
    failed = torch.zeros(100, dtype=torch.bool)
    failed[torch.randperm(100, generator=torch.Generator().manual_seed(1))[:20]] = True
    failed[:10] = True
    failed[0] = False  # alone in its group: nothing to compare it with
    with_failures = utilities.masked_fill(failed[:, None], NO_REWARD)

    advantages = gdpo(with_failures, groups)
    without = gdpo(utilities[~failed], groups[~failed.numpy()])

    torch.testing.assert_close(advantages[~failed], without, rtol=0, atol=1e-6)
    assert torch.equal(advantages[failed], torch.zeros(int(failed.sum())))
    assert advantages[0] == 0
    assert gdpo(torch.full((4, 3), NO_REWARD), np.zeros(4)).tolist() == [0.0] * 4


OK = Ok(reward=0.5, raw={}, utilities={"cer": 0.9, "nll": 0.2}, transcript="", duration_s=1.0)
BETTER = OK.model_copy(update={"reward": 0.6, "utilities": {"cer": 0.9, "nll": 0.4}})
EVEN = OK.model_copy(update={"utilities": {"cer": 0.2, "nll": 0.9}})
GATED = Gated(reason="silence")
FAILED = Failed(kind="deadline")


@pytest.mark.parametrize(
    ("advantage", "outcomes", "teaches"),
    [
        ("grpo", [OK, OK, OK], False),
        ("grpo", [OK, OK, BETTER], True),
        ("grpo", [OK, OK, GATED], True),
        ("grpo", [GATED, GATED, GATED], False),
        ("grpo", [OK, OK, FAILED], False),
        ("grpo", [OK, FAILED, FAILED], False),
        ("grpo", [FAILED, FAILED, FAILED], False),
        ("grpo", [OK, EVEN, OK], False),
        ("gdpo", [OK, EVEN, OK], True),
        ("gdpo", [OK, OK, OK], False),
        ("gdpo", [OK, OK, FAILED], False),
        ("gdpo", [OK, GATED, FAILED], True),
    ],
)
def test_dynamic_sampling_keeps_a_group_exactly_where_its_measured_rollouts_differ(
    advantage: str, outcomes: list[Outcome], teaches: bool
) -> None:
    run = load_run(TINY_RUN, [f"train.advantage={advantage}", "train.dynamic_sampling=true"])
    metric = advantages_in_group(run, outcomes)
    assert bool(np.std(metric) > 0) is teaches  # what verl's replay buffer asks
    assert all(a == 0 for a, o in zip(metric, outcomes, strict=True) if o is FAILED)
