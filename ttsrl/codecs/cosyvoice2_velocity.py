"""The velocity that CosyVoice2's flow follows, in a third of the kernels of chatterbox' own module.

Its weights are used here as they are. Other than there, channels stay last, so that nothing is
transposed; a convolution is a product over neighbouring positions side by side; queries, keys and
values are one product, and so is what all blocks hear of the time; attention's mask is one row for
all heads and positions, not a square for each head.
Shapes: R rows, T frames, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

UNHEARD = -1e10
"""Added to the scores of what attention must not hear, as chatterbox does."""


class Velocity:
    """As ConditionalDecoder.forward of chatterbox, without its streaming."""

    def __init__(self, estimator: Any) -> None:
        """`estimator` is causal, of one resolution, with its weights on their device."""
        self.times, self.time_mlp = estimator.time_embeddings, estimator.time_mlp
        [down], [up] = estimator.down_blocks, estimator.up_blocks
        stages = [down, *estimator.mid_blocks, up]
        self.stages = [_Stage.of(stage[0], stage[1]) for stage in stages]
        heard = [stage[0].mlp[1] for stage in stages]
        self.time_weight = torch.cat([linear.weight.detach() for linear in heard])
        self.time_bias = torch.cat([linear.bias.detach() for linear in heard])
        self.after_down, self.after_up = _Causal.of(down[2]), _Causal.of(up[2])
        self.last = _Block.of(estimator.final_block.block)
        self.out = _Causal.of(estimator.final_proj)

    def __call__(
        self, x: Tensor, mask: Tensor, mu: Tensor, t: Tensor, spks: Tensor, cond: Tensor
    ) -> Tensor:
        """Velocity [R, MELS, T] of `x`, `mu`, `cond` [R, MELS, T], `spks` [R, MELS] at `t` [R];
        `mask` [R, 1, T] is 1 where there is speech, and 0 behind it.

        What comes of the padding is anything: convolutions look back, away from it.
        """
        unheard_R11T = ((1 - mask) * UNHEARD).to(_product_type(x))[:, None]
        times = F.mish(self.time_mlp(self.times(t).to(t.dtype)))
        times_RK1C = F.linear(times, self.time_weight, self.time_bias)[:, None]
        moments = times_RK1C.chunk(len(self.stages), -1)
        speaker_RTM = spks[:, None].expand(-1, x.shape[2], -1)
        h = torch.cat([x.mT, mu.mT, speaker_RTM, cond.mT], -1)
        first, *middle, last = zip(self.stages, moments, strict=True)
        skip = first[0](h, first[1], unheard_R11T)
        h = self.after_down(skip)
        for stage, moment in middle:
            h = stage(h, moment, unheard_R11T)
        h = last[0](torch.cat([h, skip], -1), last[1], unheard_R11T)
        return self.out(self.last(self.after_up(h))).mT


def _product_type(x: Tensor) -> torch.dtype:
    """What products of x come in."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


@dataclass(frozen=True)
class _Causal:
    """A convolution over a position and those before it."""

    weight: Tensor
    """[out, width in]."""
    bias: Tensor
    width: int

    def __call__(self, x_RTC: Tensor) -> Tensor:
        if self.width > 1:
            count = x_RTC.shape[1]
            padded = F.pad(x_RTC.to(_product_type(x_RTC)), (0, 0, self.width - 1, 0))
            x_RTC = torch.cat([padded[:, k : k + count] for k in range(self.width)], -1)
        return F.linear(x_RTC, self.weight, self.bias)

    @classmethod
    def of(cls, convolution: Any) -> _Causal:
        weight = convolution.weight.detach()
        flat = weight.transpose(1, 2).flatten(1).contiguous()
        return cls(flat, convolution.bias.detach(), weight.shape[2])


@dataclass(frozen=True)
class _Block:
    """Convolution, norm, Mish."""

    convolution: _Causal
    norm: Any

    def __call__(self, x_RTC: Tensor) -> Tensor:
        return F.mish(self.norm(self.convolution(x_RTC)))

    @classmethod
    def of(cls, parts: Sequence[Any]) -> _Block:
        return cls(_Causal.of(parts[0]), parts[2])


@dataclass(frozen=True)
class _Stage:
    """A residual block and the transformer blocks behind it."""

    first: _Block
    second: _Block
    beside: _Causal
    layers: list[_Transformer]

    def __call__(self, x_RTC: Tensor, moment_R1C: Tensor, unheard_R11T: Tensor) -> Tensor:
        h = self.first(x_RTC) + moment_R1C
        h = self.second(h) + self.beside(x_RTC)
        for layer in self.layers:
            h = layer(h, unheard_R11T)
        return h

    @classmethod
    def of(cls, residual: Any, transformers: Any) -> _Stage:
        blocks = [_Block.of(part.block) for part in (residual.block1, residual.block2)]
        layers = [_Transformer.of(layer) for layer in transformers]
        return cls(blocks[0], blocks[1], _Causal.of(residual.res_conv), layers)


@dataclass(frozen=True)
class _Transformer:
    """Attention over the whole utterance, and a feed."""

    own: Any
    qkv: Tensor
    """[3 H d, C]."""

    def __call__(self, x_RTC: Tensor, unheard_R11T: Tensor) -> Tensor:
        own, (rows, count, _) = self.own, x_RTC.shape
        qkv = F.linear(own.norm1(x_RTC), self.qkv).view(rows, count, 3, own.attn1.heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind()
        taken = F.scaled_dot_product_attention(q, k, v, unheard_R11T)
        x = x_RTC + own.attn1.to_out[0](taken.transpose(1, 2).flatten(2))
        return x + own.ff(own.norm3(x))

    @classmethod
    def of(cls, layer: Any) -> _Transformer:
        attention = layer.attn1
        projections = attention.to_q, attention.to_k, attention.to_v
        return cls(layer, torch.cat([projection.weight.detach() for projection in projections]))
