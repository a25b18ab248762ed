"""Group-relative advantages over measured rollouts only (registered with verl).

GRPO: DeepSeekMath, arXiv 2402.03300, equation of section 4.1.2; without the division by the
standard deviation: Dr. GRPO, arXiv 2503.20783. GDPO: arXiv 2601.05242. RLOO: arXiv 2402.14740. A
rollout without a measurement takes no part in its group's mean and deviation and gets advantage 0,
so a failed score moves no weight.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
import torch
from verl.trainer.ppo.core_algos import register_adv_est

from ttsrl.training.verl_args import ESTIMATORS

EPSILON = 1e-6


def group_advantages(
    rewards_B: torch.Tensor, groups_B: np.ndarray, *, normalise_by_std: bool
) -> torch.Tensor:
    """Rewards [B] (negative: no measurement) and group names [B] -> advantages [B].

    A group with fewer than two measured rollouts has no baseline, and one in which all got the same
    has nothing to compare: their advantages are exactly 0.
    """
    advantages_B = torch.zeros_like(rewards_B)
    for rows in _measured_groups(rewards_B, groups_B):
        rewards_G = rewards_B[rows]
        if rewards_G.min() == rewards_G.max():
            continue  # the mean's rounding error over a deviation of about 0 is not a signal
        # Mean and unbiased deviation of the measured rollouts alone. A failed measurement says
        # nothing of the speech: as reward 0 it would push the policy away from what was said, and
        # lift the others of its group.
        advantages_G = rewards_G - rewards_G.mean()
        if normalise_by_std:
            # verl's own epsilon, so that without failures the numbers are verl's.
            advantages_G = advantages_G / (rewards_G.std() + EPSILON)
        advantages_B[rows] = advantages_G
    return advantages_B


def leave_one_out_advantages(rewards_B: torch.Tensor, groups_B: np.ndarray) -> torch.Tensor:
    """As `group_advantages`: each reward minus the mean of the others that were measured."""
    advantages_B = group_advantages(rewards_B, groups_B, normalise_by_std=False)
    for rows in _measured_groups(rewards_B, groups_B):
        # r_i - mean of the others = (r_i - mean of all) * n / (n - 1)
        advantages_B[rows] *= len(rows) / (len(rows) - 1)
    return advantages_B


def component_advantages(
    utilities_BK: torch.Tensor,
    weights_K: torch.Tensor,
    groups_B: np.ndarray,
    *,
    normalise_by_std: bool,
) -> torch.Tensor:
    """Utilities [B, K] (negative: no measurement) -> weighted sum of each one's advantages [B]."""
    advantages_BK = [
        group_advantages(utilities_B, groups_B, normalise_by_std=normalise_by_std)
        for utilities_B in utilities_BK.unbind(-1)
    ]
    return torch.stack(advantages_BK, -1) @ weights_K


def scale_to_batch(
    advantages_B: torch.Tensor, utilities_BK: torch.Tensor, groups_B: np.ndarray
) -> torch.Tensor:
    """GDPO's batch normalisation over the rollouts that were compared; the others stay 0.

    Their mean is 0 as it stands. verl normalises over tokens, where long rollouts pull the mean off
    0, and groups that teach nothing would move weights.
    """
    # A rollout is measured in all components or in none, so the first stands for all.
    rows = [row for group in _measured_groups(utilities_BK[:, 0], groups_B) for row in group]
    if not rows:
        return advantages_B
    return advantages_B / (advantages_B[rows].std() + EPSILON)


def _measured_groups(rewards_B: torch.Tensor, groups_B: np.ndarray) -> list[list[int]]:
    """Rows of the measured rollouts of each group that has at least two of them."""
    rows_of: dict[Any, list[int]] = defaultdict(list)
    for row, group in enumerate(groups_B):
        if rewards_B[row] >= 0:
            rows_of[group].append(row)
    return [rows for rows in rows_of.values() if len(rows) >= 2]


@register_adv_est(ESTIMATORS["grpo"])
def ttsrl_grpo(
    token_level_rewards: torch.Tensor,
    response_mask: torch.Tensor,
    index: np.ndarray,
    config: Any = None,
    **_: Any,
) -> tuple[torch.Tensor, torch.Tensor]:
    """verl's estimator signature: [B, T] rewards (one a row, at its last token) -> advantages."""
    # One number per rollout stands at its last token.
    rewards_B = token_level_rewards.sum(dim=-1)
    normalise = _normalise_by_std(config)
    advantages_B = group_advantages(rewards_B, index, normalise_by_std=normalise)
    return _of_every_token(advantages_B, response_mask)


@register_adv_est(ESTIMATORS["rloo"])
def ttsrl_rloo(
    token_level_rewards: torch.Tensor, response_mask: torch.Tensor, index: np.ndarray, **_: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    """verl's estimator signature, as for `ttsrl_grpo`."""
    advantages_B = leave_one_out_advantages(token_level_rewards.sum(dim=-1), index)
    return _of_every_token(advantages_B, response_mask)


_components: ContextVar[tuple[torch.Tensor, torch.Tensor]] = ContextVar("components")


@contextmanager
def components(
    utilities_BK: Sequence[Sequence[float]], weights_K: Sequence[float]
) -> Generator[None]:
    """The utilities that `ttsrl_gdpo` compares within this context: verl's trainer hands its
    estimators one reward a rollout."""
    token = _components.set((torch.tensor(utilities_BK), torch.tensor(weights_K)))
    try:
        yield
    finally:
        _components.reset(token)


@register_adv_est(ESTIMATORS["gdpo"])
def ttsrl_gdpo(
    token_level_rewards: torch.Tensor,
    response_mask: torch.Tensor,
    index: np.ndarray,
    config: Any = None,
    **_: Any,
) -> tuple[torch.Tensor, torch.Tensor]:
    """verl's estimator signature; the rewards themselves are not looked at, but `components`."""
    utilities_BK, weights_K = _components.get()
    advantages_B = component_advantages(
        utilities_BK, weights_K, index, normalise_by_std=_normalise_by_std(config)
    )
    advantages_B = scale_to_batch(advantages_B, utilities_BK, index)
    return _of_every_token(advantages_B.to(token_level_rewards), response_mask)


def _of_every_token(
    advantages_B: torch.Tensor, response_mask: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """verl's (advantages, returns) [B, T]: the reward judges the utterance as a whole."""
    with torch.no_grad():
        advantages_BT = advantages_B.unsqueeze(-1) * response_mask
    return advantages_BT, advantages_BT


def _normalise_by_std(config: Any) -> bool:
    return bool(config.get("norm_adv_by_std_in_grpo", True)) if config is not None else True
