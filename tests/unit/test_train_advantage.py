import numpy as np
import pytest
import torch
from verl.trainer.ppo.core_algos import compute_grpo_outcome_advantage, get_adv_estimator_fn

from jobs.train.advantage import group_advantages
from jobs.train.verl_args import NO_REWARD


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
