"""Attention over packed rollouts is that of each rollout alone."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from ttsrl.training.plugin.packed_attention import packed_attention

LENGTHS = [5, 1, 9, 3]
HEADS, KEY_HEADS, CHANNELS = 4, 2, 8


def attention_alone(
    q_HLD: torch.Tensor, k_KLD: torch.Tensor, v_KLD: torch.Tensor, window: int | None
) -> torch.Tensor:
    """The definition: a soft-max over each token's past, or the last of it."""
    length = q_HLD.shape[1]
    k_HLD, v_HLD = (x.repeat_interleave(HEADS // KEY_HEADS, 0) for x in (k_KLD, v_KLD))
    scores = q_HLD @ k_HLD.mT / CHANNELS**0.5
    back = torch.arange(length)[:, None] - torch.arange(length)
    seen = (back >= 0) & (back < (window or length))
    return scores.masked_fill(~seen, -torch.inf).softmax(-1) @ v_HLD


@pytest.mark.parametrize("window", [None, 3, 100])
def test_each_rollout_attends_to_itself_alone(window: int | None) -> None:
    random = torch.Generator().manual_seed(0)
    total = sum(LENGTHS)
    q, k, v = (
        torch.randn(1, heads, total, CHANNELS, generator=random, dtype=torch.float64)
        for heads in (HEADS, KEY_HEADS, KEY_HEADS)
    )
    for x in (q, k, v):
        x.requires_grad_()
    positions = torch.cat([torch.arange(n) for n in LENGTHS])[None]
    packed, _ = packed_attention(
        torch.nn.Module(),
        q,
        k,
        v,
        None,
        position_ids=positions,
        scaling=CHANNELS**-0.5,
        sliding_window=window,
    )
    parts = [x[0].split(LENGTHS, dim=1) for x in (q, k, v)]
    alone = torch.cat(
        [attention_alone(*qkv, window) for qkv in zip(parts[0], parts[1], parts[2], strict=True)],
        dim=1,
    )
    torch.testing.assert_close(packed, alone.transpose(0, 1)[None])
    weights = torch.randn(packed.shape, generator=random, dtype=torch.float64)
    found = torch.autograd.grad((packed * weights).sum(), (q, k, v), retain_graph=True)
    expected = torch.autograd.grad((alone.transpose(0, 1)[None] * weights).sum(), (q, k, v))
    torch.testing.assert_close(found, expected)


def test_attention_of_another_kind_is_refused_by_name() -> None:
    one: Any = SimpleNamespace()
    x = torch.zeros(1, 2, 3, 4)
    with pytest.raises(NotImplementedError, match="softcap, which SimpleNamespace"):
        packed_attention(one, x, x, x, None, position_ids=torch.arange(3)[None], softcap=30.0)
