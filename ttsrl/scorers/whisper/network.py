"""Whisper's forward passes over fused weights and caches that the caller owns.

Reads the modules of a `transformers` Whisper instead of calling its forward: one product gives
queries, keys and values, keys and values of the audio are projected once, and every shape can be
kept fixed, as CUDA graphs need it. Names of shapes: B utterances, F mel frames, S encoder
positions, T or K decoder positions, n layers, H heads, d channels a head, D = H d.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import WhisperForConditionalGeneration

STEADY = [SDPBackend.CUDNN_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
"""For shapes that come again: cuDNN is the fastest, and plans anew for each shape."""
VARYING = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]

CONSTANTS = 8
"""Channels that carry the constant: as many keep a GPU's rows on whole 16 bytes."""

OwnAttention = Callable[[int, Tensor, Tensor, Tensor], Tensor]
"""Layer, queries, keys and values [B, H, T, d] -> what a token takes from those before it."""


@dataclass(frozen=True)
class Projection:
    """Weight [out, in] and bias [out]."""

    weight: Tensor
    bias: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)

    @classmethod
    def of(cls, *layers: Any) -> Projection:
        """Side by side; Whisper's keys have no bias."""
        weights = [layer.weight.detach() for layer in layers]
        biases = [w.new_zeros(len(w)) if la.bias is None else la.bias.detach()
                  for w, la in zip(weights, layers, strict=True)]  # fmt: skip
        if len(layers) == 1:
            return cls(weights[0], biases[0])
        return cls(torch.cat(weights), torch.cat(biases))


@dataclass(frozen=True)
class Convolution:
    """Over time, three wide, with zeros around; as a product it takes a tenth of cuDNN's time."""

    weight: Tensor
    """[out, 3 in]."""
    bias: Tensor
    stride: int

    def __call__(self, x_BTD: Tensor) -> Tensor:
        padded = F.pad(x_BTD, (0, 0, 1, 1))
        last = x_BTD.shape[1] - 1
        neighbours = [padded[:, k : k + last + 1 : self.stride] for k in range(3)]
        return F.linear(torch.cat(neighbours, -1), self.weight, self.bias)

    @classmethod
    def of(cls, convolution: Any) -> Convolution:
        weight = convolution.weight.detach().transpose(1, 2).flatten(1).contiguous()
        return cls(weight, convolution.bias.detach(), convolution.stride[0])


@dataclass(frozen=True)
class Norm:
    """Layer norm."""

    weight: Tensor
    bias: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias)

    @classmethod
    def of(cls, norm: Any) -> Norm:
        return cls(norm.weight.detach(), norm.bias.detach())


@dataclass(frozen=True)
class Feed:
    """Norm, widen, activate, narrow."""

    norm: Norm
    widen: Projection
    activate: Callable[[Tensor], Tensor]
    narrow: Projection

    def __call__(self, x: Tensor) -> Tensor:
        return self.narrow(self.activate(self.widen(self.norm(x))))

    @classmethod
    def of(cls, layer: Any) -> Feed:
        norm, widen, narrow = layer.final_layer_norm, layer.fc1, layer.fc2
        return cls(Norm.of(norm), Projection.of(widen), layer.activation_fn, Projection.of(narrow))


@dataclass(frozen=True)
class WideFeed:
    """A feed whose last product adds to the residual itself, which spares a pass over it.

    The product can add the residual or a bias, not both: the bias is the weight of a channel that
    is constant behind the activation.
    """

    norm: Norm
    widen: Projection
    activate: Callable[[Tensor], Tensor]
    narrow: Tensor
    """[out, in and the constant]."""

    def add_to(self, x_ND: Tensor) -> None:
        """x += feed(x)."""
        x_ND.addmm_(self.activate(self.widen(self.norm(x_ND))), self.narrow.T)

    @classmethod
    def of(cls, layer: Any) -> WideFeed:
        feed = Feed.of(layer)
        widen, narrow = feed.widen, feed.narrow
        weight = F.pad(widen.weight, (0, 0, 0, CONSTANTS))
        bias = F.pad(widen.bias, (0, CONSTANTS), value=1.0)
        constant = feed.activate(bias[-1])
        beside = F.pad((narrow.bias / constant)[:, None], (0, CONSTANTS - 1))
        full = torch.cat([narrow.weight, beside], 1)
        return cls(feed.norm, Projection(weight, bias), feed.activate, full)


@dataclass(frozen=True)
class SelfAttention:
    """Norm and projections of a layer that looks at itself."""

    norm: Norm
    qkv: Projection
    out: Projection

    @classmethod
    def of(cls, layer: Any) -> SelfAttention:
        a = layer.self_attn
        qkv = Projection.of(a.q_proj, a.k_proj, a.v_proj)
        return cls(Norm.of(layer.self_attn_layer_norm), qkv, Projection.of(a.out_proj))


@dataclass(frozen=True)
class CrossAttention:
    """Norm and projections of a layer that looks at the audio."""

    norm: Norm
    query: Projection
    key_value: Projection
    out: Projection

    @classmethod
    def of(cls, layer: Any) -> CrossAttention:
        a = layer.encoder_attn
        key_value = Projection.of(a.k_proj, a.v_proj)
        norm, out = Norm.of(layer.encoder_attn_layer_norm), Projection.of(a.out_proj)
        return cls(norm, Projection.of(a.q_proj), key_value, out)


class Network:
    """All the passes; takes the weights over from `model`, which is of no use afterwards."""

    def __init__(self, model: WhisperForConditionalGeneration, *, encoder: bool = True) -> None:
        config, body = model.config, cast(Any, model).model
        self.device, self.dtype = body.device, body.dtype
        self.width = int(config.d_model)
        self.layers, self.heads = int(config.decoder_layers), int(config.decoder_attention_heads)
        self.encoder_heads = int(config.encoder_attention_heads)
        self.positions = int(config.max_source_positions)
        self.vocabulary = int(config.vocab_size)
        self.encoder: list[tuple[SelfAttention, WideFeed]] = []
        if encoder:
            convolutions = body.encoder.conv1, body.encoder.conv2
            self.convolutions = [Convolution.of(convolution) for convolution in convolutions]
            self.encoder_positions = body.encoder.embed_positions.weight.detach()
            self.encoder_norm = Norm.of(body.encoder.layer_norm)
            for layer in body.encoder.layers:
                self.encoder.append((SelfAttention.of(layer), WideFeed.of(layer)))
                layer.self_attn = layer.fc1 = layer.fc2 = None  # their copies replace them
        self.tokens = body.decoder.embed_tokens.weight.detach()
        # The same ones, but for fine-tunes that have untied them.
        self.scoring = cast(Any, model).get_output_embeddings().weight.detach()
        self.decoder_positions = body.decoder.embed_positions.weight.detach()
        self.decoder_norm = Norm.of(body.decoder.layer_norm)
        self.decoder: list[tuple[SelfAttention, CrossAttention, Feed]] = []
        for layer in body.decoder.layers:
            self.decoder.append((SelfAttention.of(layer), CrossAttention.of(layer), Feed.of(layer)))
            layer.self_attn = layer.encoder_attn = None

    def attention(self, *, steady: bool) -> AbstractContextManager[object]:
        """Which kernels attention takes on a GPU; nothing on a CPU."""
        return sdpa_kernel(STEADY if steady else VARYING, set_priority=True)

    def encode(self, mel_BMF: Tensor) -> Tensor:
        """Log-mels of whole windows -> states [B, S, D]."""
        x = mel_BMF.to(self.dtype).transpose(1, 2)
        for convolution in self.convolutions:
            x = F.gelu(convolution(x))
        # No mask: a window is filled with silence up to its end, and silence is heard.
        x = x + self.encoder_positions
        shape = x.shape
        x = x.flatten(0, 1)  # as `WideFeed.add_to` wants it
        with self.attention(steady=True):
            for own, feed in self.encoder:
                qkv = own.qkv(own.norm(x)).view(*shape[:2], -1)
                q, k, v = self._split(qkv, 3, self.encoder_heads)
                taken = F.scaled_dot_product_attention(q, k, v)
                x = x + own.out(_join(taken).flatten(0, 1))
                feed.add_to(x)
        return self.encoder_norm(x).view(shape)

    def new_cache(self, rows: int, positions: int) -> Tensor:
        """Room for keys and values, [B, n, 2, H, S or T, d], of what is heard or written."""
        shape = rows, self.layers, 2, self.heads, positions, self.width // self.heads
        return torch.zeros(shape, device=self.device, dtype=self.dtype)

    def project(self, states_BSD: Tensor, audio: Tensor) -> None:
        """Write keys and values of states into `audio`."""
        x = states_BSD.to(self.dtype)
        for i, (_, cross, _) in enumerate(self.decoder):
            key_value = cross.key_value(x).view(*x.shape[:2], 2, self.heads, -1)
            _copy(audio[:, i], key_value.permute(0, 2, 3, 1, 4))

    def prefill(self, ids_BT: Tensor, audio: Tensor, text: Tensor | None = None) -> Tensor:
        """Hidden states [B, T, D] of ids from position 0 on; keeps what fits into `text`."""

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            if text is not None:
                # A text may be longer than every transcript; no transcript continues from there.
                kept = min(q.shape[2], text.shape[-2])
                text[:, layer, 0, :, :kept] = k[:, :, :kept]
                text[:, layer, 1, :, :kept] = v[:, :, :kept]
            return F.scaled_dot_product_attention(q, k, v, is_causal=True)

        positions_1T = torch.arange(ids_BT.shape[1], device=ids_BT.device)[None]
        with self.attention(steady=False):
            return self._decode(ids_BT, positions_1T, attend, audio)

    def extend(self, ids_BK: Tensor, starts_B: Tensor, audio: Tensor, text: Tensor) -> Tensor:
        """Hidden states [B, K, D] of ids that follow `starts_B` others, which `text` remembers."""
        count = ids_BK.shape[1]
        positions_BK = starts_B[:, None] + torch.arange(count, device=ids_BK.device)
        columns_T = torch.arange(text.shape[-2], device=ids_BK.device)
        before_B1KT = self._bias(columns_T <= positions_BK[:, None, :, None])

        where = positions_BK[:, None, None, :, None]

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            # Rows are at positions of their own, so a slice cannot be written.
            key_value = torch.stack([k, v], 1)
            text[:, layer].scatter_(3, where.expand_as(key_value), key_value)
            keys, values = text[:, layer, 0], text[:, layer, 1]
            return F.scaled_dot_product_attention(q, keys, values, attn_mask=before_B1KT)

        with self.attention(steady=True):
            return self._decode(ids_BK, positions_BK, attend, audio)

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores of the vocabulary in float32: in bfloat16 the best ones would often be equal."""
        if hidden.is_cuda and hidden.dtype != torch.float32:
            flat = hidden.reshape(-1, self.width)
            out = torch.mm(flat, self.scoring.T, out_dtype=torch.float32)
            return out.view(*hidden.shape[:-1], -1)
        return F.linear(hidden, self.scoring).float()

    def _decode(
        self, ids: Tensor, positions: Tensor, attend_own: OwnAttention, audio: Tensor
    ) -> Tensor:
        x = F.embedding(ids, self.tokens) + self._place(positions)
        for i, (own, cross, feed) in enumerate(self.decoder):
            q, k, v = self._split(own.qkv(own.norm(x)), 3, self.heads)
            x = x + own.out(_join(attend_own(i, q, k, v)))
            (q,) = self._split(cross.query(cross.norm(x)), 1, self.heads)
            taken = F.scaled_dot_product_attention(q, audio[:, i, 0], audio[:, i, 1])
            x = x + cross.out(_join(taken))
            x = x + feed(x)
        return self.decoder_norm(x)

    def _place(self, positions: Tensor) -> Tensor:
        """A draft may reach beyond the last position; nothing that counts does."""
        last = len(self.decoder_positions) - 1
        return F.embedding(positions.clamp_max(last), self.decoder_positions)

    def _bias(self, visible: Tensor) -> Tensor:
        """What attention adds to its scores: made once, where a mask would be once a layer."""
        return torch.zeros_like(visible, dtype=self.dtype).masked_fill_(~visible, -torch.inf)

    def _split(self, x: Tensor, parts: int, heads: int) -> Sequence[Tensor]:
        """[B, T, parts D] -> parts x [B, H, T, d]."""
        rows, length, _ = x.shape
        return [p.view(rows, length, heads, -1).transpose(1, 2) for p in x.chunk(parts, -1)]


def _join(x: Tensor) -> Tensor:
    """[B, H, T, d] -> [B, T, D]."""
    return x.transpose(1, 2).flatten(2)


def _copy(into: Tensor, x: Tensor) -> None:
    """Copy rows of channels, [..., d], 16 bytes at a time: elements alone keep a GPU waiting."""
    if x.shape[-1] * x.element_size() % 16 == 0:
        into, x = into.view(torch.complex128), x.view(torch.complex128)
    into.copy_(x)
