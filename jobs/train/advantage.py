"""GRPO's group-relative advantage over measured rollouts only (registered with verl).

Formula: DeepSeekMath, arXiv 2402.03300, equation of section 4.1.2; without the division by the
standard deviation: Dr. GRPO, arXiv 2503.20783. A rollout without a measurement takes no part in its
group's mean and deviation and gets advantage 0, so a failed score moves no weight.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import torch
from verl.trainer.ppo.core_algos import register_adv_est

EPSILON = 1e-6


def group_advantages(
    rewards_B: torch.Tensor, groups_B: np.ndarray, *, normalise_by_std: bool
) -> torch.Tensor:
    """Rewards [B] (negative: no measurement) and group names [B] -> advantages [B].

    A group with fewer than two measured rollouts has no baseline: all its advantages are 0.
    """
    advantages_B = torch.zeros_like(rewards_B)
    rows_of: dict[Any, list[int]] = defaultdict(list)
    for row, group in enumerate(groups_B):
        if rewards_B[row] >= 0:
            rows_of[group].append(row)
    for rows in rows_of.values():
        if len(rows) < 2:
            continue
        rewards_G = rewards_B[rows]
        advantages_G = rewards_G - rewards_G.mean()
        if normalise_by_std:
            advantages_G = advantages_G / (rewards_G.std() + EPSILON)
        advantages_B[rows] = advantages_G
    return advantages_B


@register_adv_est("ttsrl_grpo")
def ttsrl_grpo(
    token_level_rewards: torch.Tensor,
    response_mask: torch.Tensor,
    index: np.ndarray,
    config: Any = None,
    **_: Any,
) -> tuple[torch.Tensor, torch.Tensor]:
    """verl's estimator signature: [B, T] rewards (one a row, at its last token) -> advantages."""
    normalise = bool(config.get("norm_adv_by_std_in_grpo", True)) if config is not None else True
    with torch.no_grad():
        rewards_B = token_level_rewards.sum(dim=-1)
        advantages_B = group_advantages(rewards_B, index, normalise_by_std=normalise)
        advantages_BT = advantages_B.unsqueeze(-1) * response_mask
    return advantages_BT, advantages_BT
