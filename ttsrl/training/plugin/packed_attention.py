"""Attention over rollouts that lie behind one another in one row, without padding.

verl packs the rollouts of a micro batch so (`use_remove_padding`); their positions begin at 0 with
each. transformers gets the function by name, and no wheel of flash-attn is needed: on a GPU torch's
own attention over unequal lengths, which is FlashAttention 2, computes in bfloat16 and float16.
Elsewhere queries, keys and values are padded on the right for this one operation, where a causal
mask hides the padding by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.attention.varlen import varlen_attn
from torch.nn.functional import scaled_dot_product_attention
from torch.utils.weak import WeakTensorKeyDictionary
from transformers.modeling_flash_attention_utils import prepare_fa_kwargs_from_position_ids
from transformers.modeling_utils import AttentionInterface

from ttsrl.training.verl_args import PACKED_ATTENTION


@dataclass(frozen=True)
class Packing:
    """Where B rollouts lie in a row of T tokens."""

    offsets: torch.Tensor
    """int32, B + 1: where each begins, and T."""
    longest: int
    rows_T: torch.Tensor
    columns_T: torch.Tensor
    """The place of each token among B x longest."""

    @classmethod
    def of(cls, position_ids: torch.Tensor) -> Packing:
        """From positions, 1 x T, that begin at 0 with each rollout."""
        (offsets, _), (longest, _) = prepare_fa_kwargs_from_position_ids(position_ids)
        lengths = offsets.diff()
        rows_T = torch.arange(len(lengths), device=lengths.device).repeat_interleave(lengths)
        return cls(offsets, int(longest), rows_T, position_ids[0])


_packings = WeakTensorKeyDictionary()
"""By the tensor of positions, which all layers get: a packing waits for the GPU once a pass."""


def _packing_of(position_ids: torch.Tensor) -> Packing:
    packing = _packings.get(position_ids)
    if packing is None:
        packing = _packings[position_ids] = Packing.of(position_ids)
    return packing


def packed_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: None,
    *,
    position_ids: torch.Tensor,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention within each rollout, as transformers asks for it.

    Queries are 1 x H x T x D, keys and values 1 x K x T x D with H a multiple of K. Returns
    1 x T x H x D. Raises NotImplementedError for what changes attention in some other way.
    """
    if unknown := [name for name in ("softcap", "s_aux") if others.get(name) is not None]:
        raise NotImplementedError(
            f"attention over packed rollouts has no {unknown[0]}, which {type(module).__name__} "
            "asks for"
        )
    packing = _packing_of(position_ids)
    q_THD, k_TKD, v_TKD = (x[0].transpose(0, 1) for x in (query, key, value))
    if query.is_cuda and query.dtype in (torch.bfloat16, torch.float16) and not dropout:
        out_THD = varlen_attn(
            q_THD,
            k_TKD,
            v_TKD,
            packing.offsets,
            packing.offsets,
            packing.longest,
            packing.longest,
            scale=scaling,
            window_size=(-1 if sliding_window is None else sliding_window - 1, 0),
        )
        assert isinstance(out_THD, torch.Tensor)
    else:
        out_THD = _padded(q_THD, k_TKD, v_TKD, packing, scaling, dropout, sliding_window)
    return out_THD.unsqueeze(0), None


def _padded(
    q_THD: torch.Tensor,
    k_TKD: torch.Tensor,
    v_TKD: torch.Tensor,
    packing: Packing,
    scaling: float | None,
    dropout: float,
    sliding_window: int | None,
) -> torch.Tensor:
    at = packing.rows_T, packing.columns_T
    shape = len(packing.offsets) - 1, packing.longest

    def spread(x: torch.Tensor) -> torch.Tensor:
        return x.new_zeros(*shape, *x.shape[1:]).index_put(at, x).transpose(1, 2)

    band = None
    if sliding_window is not None and sliding_window < packing.longest:
        square = q_THD.new_ones(packing.longest, packing.longest, dtype=torch.bool)
        band = square.tril().triu(1 - sliding_window)
    out = scaled_dot_product_attention(
        spread(q_THD),
        spread(k_TKD),
        spread(v_TKD),
        attn_mask=band,
        dropout_p=dropout,
        is_causal=band is None,
        scale=scaling,
        enable_gqa=True,
    )
    return out.transpose(1, 2)[at]


AttentionInterface.register(PACKED_ATTENTION, packed_attention)
