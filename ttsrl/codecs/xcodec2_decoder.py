"""XCodec2's decoder for utterances of unequal lengths in one batch, each as if it were alone.

transformers' own decoder has no mask: convolutions, group norms and attention hear what pads the
shorter ones. Its weights are used here, with nothing beyond an utterance's end: silence where a
convolution pads with zeros itself, and no part in a mean, a soft-max or the overlap-add.

Two things are computed in another way than there. Convolutions are products over neighbouring
positions side by side, which needs no transposing. The rotary embedding is left out: XCodec2 gives
every position of a head the same angle, which turns queries and keys alike and changes no score.
Shapes: B utterances, T tokens, D channels, G groups, H heads, d channels a head.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


class MaskedDecoder:
    """Codes and their lengths -> samples; what lies behind an utterance's own is to be cut off."""

    def __init__(self, model: Any, attention_dtype: torch.dtype | None = None) -> None:
        """`attention_dtype`: what queries, keys and values are rounded to; None: not at all."""
        decoder = model.acoustic_decoder
        self.quantizer = model.quantizer
        self.first, self.norm, self.head = decoder.fc, decoder.norm, decoder.head
        self.hop = int(model.config.hop_length)
        self.embed = _Convolution.of(decoder.embed)
        self.prior = [_Residual.of(block) for block in decoder.prior_net]
        self.layers = [_Layer.of(layer, attention_dtype) for layer in decoder.layers]
        self.post = [_Residual.of(block) for block in decoder.post_net]

    def __call__(self, codes_BT: Tensor, lengths_B: Tensor) -> Tensor:
        """Codes padded with any code -> samples [B, T hop]."""
        valid_BT = torch.arange(codes_BT.shape[1], device=codes_BT.device) < lengths_B[:, None]
        x = self.first(self.quantizer.from_codes(codes_BT[..., None]))
        valid_BT1 = valid_BT[..., None].to(x.dtype)
        # Zeros before a convolution, which near the end reads beyond it, and zeros again after it:
        # its bias has filled the padding. Alone, an utterance is padded with zeros, too.
        x = self.embed(x * valid_BT1) * valid_BT1
        for block in self.prior:
            x = block(x, valid_BT1)
        # Added to the attention's scores. Between the layers padding may hold anything finite:
        # norms and feeds work on one position, and attention does not look at it.
        unheard_B11T = torch.zeros_like(valid_BT, dtype=x.dtype)[:, None, None]
        unheard_B11T = unheard_B11T.masked_fill(~valid_BT[:, None, None], -torch.inf)
        for layer in self.layers:
            x = layer(x, unheard_B11T)
        x = x * valid_BT1
        for block in self.post:
            x = block(x, valid_BT1)
        return self._waveform(self.norm(x), valid_BT)

    def _waveform(self, x_BTD: Tensor, valid_BT: Tensor) -> Tensor:
        """Inverse short-time Fourier transform; a frame is as long as in the whole utterance."""
        head = self.head
        # From here in float32: magnitudes are exponentials, and an error of a phase is one of the
        # samples.
        magnitude, phase = head.linear(x_BTD).float().chunk(2, -1)
        spectrum = torch.polar(magnitude.exp().clamp(max=1e2), phase)
        frames_BTN = torch.fft.irfft(spectrum, head.n_fft, dim=-1) * head.window
        valid_BT1 = valid_BT[..., None].float()
        # Frames of the padding overlap the utterance's end: neither their samples nor their
        # windows may count there.
        summed = self._overlap(frames_BTN * valid_BT1)
        weights = self._overlap(head.window.square() * valid_BT1)
        inner = slice(head.padding, -head.padding)
        return summed[:, inner] / weights[:, inner].clamp(min=1e-11)

    def _overlap(self, frames_BTN: Tensor) -> Tensor:
        """Add up frames, each `hop` samples after the one before."""
        rows, count, size = frames_BTN.shape
        parts = size // self.hop  # XCodec2's frames are four hops long
        frames = frames_BTN.view(rows, count, parts, self.hop)
        summed = frames.new_zeros(rows, count + parts - 1, self.hop)
        for k in range(parts):
            summed[:, k : k + count] += frames[:, :, k]
        return summed.flatten(1)


@dataclass(frozen=True)
class _Convolution:
    """Over time, as long after it as before, with zeros around."""

    weight: Tensor
    """[out, width in]."""
    bias: Tensor
    width: int

    def __call__(self, x_BTD: Tensor) -> Tensor:
        count, beside = x_BTD.shape[1], self.width // 2
        padded = F.pad(x_BTD, (0, 0, beside, beside))
        neighbours = [padded[:, k : k + count] for k in range(self.width)]
        return F.linear(torch.cat(neighbours, -1), self.weight, self.bias)

    @classmethod
    def of(cls, convolution: Any) -> _Convolution:
        weight = convolution.weight.detach()
        return cls(weight.transpose(1, 2).flatten(1).contiguous(), convolution.bias.detach(),
                   weight.shape[2])  # fmt: skip


@dataclass(frozen=True)
class _GroupNorm:
    """Mean and variance over the channels of a group and the utterance's own positions."""

    weight: Tensor
    bias: Tensor
    groups: int
    eps: float

    def __call__(self, x_BTD: Tensor, valid_BT1: Tensor) -> Tensor:
        """Of x that is 0 beyond its utterance; what comes of it is anything there."""
        rows, length, width = x_BTD.shape
        # Sums over a whole utterance: float32. Padding is 0 and adds nothing to the mean, but its
        # distance from the mean is not 0, so it is masked again before the variance.
        x = x_BTD.float().view(rows, length, self.groups, -1)
        valid = valid_BT1[..., None].float()
        count = valid.sum((1, 3), keepdim=True) * (width // self.groups)
        mean = x.sum((1, 3), keepdim=True) / count
        centred = (x - mean) * valid
        variance = torch.linalg.vector_norm(centred, dim=(1, 3), keepdim=True).square() / count
        scale = torch.rsqrt(variance + self.eps) * self.weight.view(self.groups, -1)
        normed = torch.addcmul(self.bias.view(self.groups, -1), centred, scale)
        return normed.view_as(x_BTD).to(x_BTD.dtype)

    @classmethod
    def of(cls, norm: Any) -> _GroupNorm:
        return cls(norm.weight.detach(), norm.bias.detach(), norm.num_groups, norm.eps)


@dataclass(frozen=True)
class _Residual:
    """Two convolutions beside the identity."""

    first: tuple[_GroupNorm, _Convolution]
    second: tuple[_GroupNorm, _Convolution]

    def __call__(self, x_BTD: Tensor, valid_BT1: Tensor) -> Tensor:
        h = x_BTD
        for norm, convolution in (self.first, self.second):
            h = convolution(F.silu(norm(h, valid_BT1)) * valid_BT1) * valid_BT1
        return x_BTD + h

    @classmethod
    def of(cls, block: Any) -> _Residual:
        first = _GroupNorm.of(block.norm1), _Convolution.of(block.conv1)
        return cls(first, (_GroupNorm.of(block.norm2), _Convolution.of(block.conv2)))


@dataclass(frozen=True)
class _Layer:
    """Attention over the whole utterance, and a feed."""

    own: Any
    qkv: Tensor
    """[(heads + 2 key-value heads) d, D]."""
    heads: tuple[int, int]
    """Of queries, and of keys and values."""
    dtype: torch.dtype | None

    def __call__(self, x_BTD: Tensor, unheard_B11T: Tensor) -> Tensor:
        own, (heads, shared) = self.own, self.heads
        rows, length, _ = x_BTD.shape
        qkv = F.linear(_rms_norm(own.input_layernorm, x_BTD), self.qkv)
        if self.dtype is not None:
            qkv, unheard_B11T = qkv.to(self.dtype), unheard_B11T.to(self.dtype)
        qkv = qkv.view(rows, length, heads + 2 * shared, -1).transpose(1, 2)
        q, k, v = qkv.split([heads, shared, shared], 1)
        taken = F.scaled_dot_product_attention(
            q, k, v, unheard_B11T, scale=own.self_attn.scaling, enable_gqa=heads != shared
        )
        x = x_BTD + own.self_attn.o_proj(taken.transpose(1, 2).flatten(2).to(x_BTD.dtype))
        return x + own.mlp(_rms_norm(own.post_attention_layernorm, x))

    @classmethod
    def of(cls, layer: Any, dtype: torch.dtype | None) -> _Layer:
        attention = layer.self_attn
        config = attention.config
        projections = attention.q_proj, attention.k_proj, attention.v_proj
        if any(projection.bias is not None for projection in projections):
            raise ValueError("an XCodec2 whose attention has biases")
        qkv = torch.cat([projection.weight.detach() for projection in projections])
        return cls(layer, qkv, (config.num_attention_heads, config.num_key_value_heads), dtype)


def _rms_norm(norm: Any, x: Tensor) -> Tensor:
    return F.rms_norm(x, norm.weight.shape, norm.weight.to(x.dtype), norm.variance_epsilon)
