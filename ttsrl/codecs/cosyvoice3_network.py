"""CosyVoice3's flow matching and causal HiFT vocoder, of the shapes of its cosyvoice3.yaml.

The vocoder is the one of the PyPI package chatterbox-tts with causal convolutions in their places,
as cosyvoice/hifigan/generator.py (FunAudioLLM/CosyVoice) has them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from ttsrl.codecs.cosyvoice2_network import (
    CODEBOOK_SIZE,
    HARMONICS,
    HOP,
    MELS,
    SAMPLE_RATE_HZ,
    SINE,
    SPEAKER_WIDTH,
    VOICED_HZ,
    VOICED_NOISE,
    count_parts,
    make_hift,
    without_norms,
)
from ttsrl.codecs.cosyvoice3_dit import DiT
from ttsrl.models.hub import fill

LOOKAHEAD = 3
RATES = (8, 5, 3)


class CausalConv(nn.Conv1d):
    """A convolution that is padded on one side, and whose input may be stretched before."""

    def __init__(self, like: Any, size: int, *, ahead: bool = False, stretch: int = 1) -> None:
        stride = like.stride[0] if stretch == 1 else 1
        dilation = like.dilation[0] if stretch == 1 else 1
        super().__init__(
            like.in_channels, like.out_channels, size, stride=stride, dilation=dilation
        )
        reach = stride - 1 if stride > 1 else (size - 1) * dilation
        self.sides, self.stretch = ((0, reach) if ahead else (reach, 0)), stretch

    def forward(self, input: Tensor) -> Tensor:
        """[B, C, T] -> [B, C', T * stretch / stride]"""
        stretched = input.repeat_interleave(self.stretch, -1) if self.stretch > 1 else input
        return super().forward(F.pad(stretched, self.sides))


class Lookahead(nn.Module):
    """What the next tokens say of a token."""

    def __init__(self, inner: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(MELS, inner, LOOKAHEAD + 1)
        self.conv2 = nn.Conv1d(inner, MELS, 3)

    def forward(self, x_BTM: Tensor) -> Tensor:
        ahead_BDT = F.leaky_relu(self.conv1(F.pad(x_BTM.mT, (0, LOOKAHEAD))))
        return self.conv2(F.pad(ahead_BDT, (2, 0))).mT + x_BTM


class DitFlow(nn.Module):
    """CausalMaskedDiffWithDiT: tokens and a speaker -> mel."""

    def __init__(
        self, width: int = 1024, depth: int = 22, heads: int = 16, inner: int = 1024
    ) -> None:
        super().__init__()
        self.input_embedding = nn.Embedding(CODEBOOK_SIZE, MELS)
        self.spk_embed_affine_layer = nn.Linear(SPEAKER_WIDTH, MELS)
        self.pre_lookahead_layer = Lookahead(inner)
        self.decoder = nn.Module()
        self.decoder.estimator = DiT(width, depth, heads)

    def encode(self, x: Tensor, lengths: Tensor) -> Tensor:
        """What the tokens [B, T] tell the solver: mu [B, MELS, 2 T]."""
        heard_BT = torch.arange(x.shape[1], device=x.device) < lengths[:, None]
        embedded_BTM = self.input_embedding(x) * heard_BT[..., None]
        return self.pre_lookahead_layer(embedded_BTM).repeat_interleave(2, 1).mT.float()


def make_causal_hift(channels: int = 512, pitch_channels: int = 512) -> Any:
    """Mel -> waveform, with random weights; the defaults are CosyVoice3's."""
    hift = make_hift(channels, pitch_channels)
    hift.conv_pre = _causal(hift.conv_pre, 5, ahead=True)
    for n, (rate, up) in enumerate(zip(RATES, hift.ups, strict=True)):
        hift.ups[n] = _causal(up, up.kernel_size[0], stretch=rate)
    for n, down in enumerate(hift.source_downs):
        hift.source_downs[n] = CausalConv(down, down.kernel_size[0])
    for block in (*hift.source_resblocks, *hift.resblocks):
        for convs in (block.convs1, block.convs2):
            for n, conv in enumerate(convs):
                convs[n] = _causal(conv, conv.kernel_size[0])
    hift.conv_post = _causal(hift.conv_post, 7)
    net = hift.f0_predictor.condnet
    for n in range(0, len(net), 2):
        net[n] = _causal(net[n], 3 if n else 4, ahead=not n)
    return hift.eval()


def _causal(conv: Any, size: int, *, ahead: bool = False, stretch: int = 1) -> nn.Module:
    return weight_norm(CausalConv(conv, size, ahead=ahead, stretch=stretch))


def flow_of(state: Mapping[str, Tensor], source: Path) -> Any:
    """The flow that a state dict is of. Raises BadInput, KeyError for another network's."""
    estimator = "decoder.estimator"
    width = state[f"{estimator}.proj_out.weight"].shape[1]
    heads = state[f"{estimator}.transformer_blocks.0.attn.to_q.weight"].shape[0] // 64
    inner = state["pre_lookahead_layer.conv1.weight"].shape[0]
    depth = count_parts(state, f"{estimator}.transformer_blocks")
    flow = DitFlow(width, depth, heads, inner)
    fill(flow, state, source)
    return flow.eval()


def hift_of(state: Mapping[str, Tensor], source: Path) -> Any:
    """The vocoder that a state dict is of. Raises BadInput, KeyError for another network's."""
    return without_norms(make_causal_hift, state, source)


def vocode(hift: Any, mel_BMT: Tensor, noise_BSH: Tensor) -> Tensor:
    """Waveform [B, T * HOP] of a mel; `noise_BSH` in [0, 1) for HARMONICS a sample.

    The pitch is found in float64, as upstream does: the phase sums it up over seconds.
    """
    predictor = hift.f0_predictor.double()
    f0_BT = predictor(mel_BMT.double()).to(mel_BMT.dtype)
    source = hift.m_source
    sines_BSH = harmonics(f0_BT, noise_BSH)
    source_BS1 = source.l_tanh(source.l_linear(sines_BSH.to(mel_BMT.dtype)))
    return hift.decode(x=mel_BMT, s=source_BS1.transpose(1, 2))


def harmonics(f0_BT: Tensor, noise_BSH: Tensor) -> Tensor:
    """Multiples of the pitch [Hz] where there is one, and noise: [B, T * HOP, HARMONICS].

    In CosyVoice3 the phase stays within a frame (SineGen2, causal: it is not interpolated).
    """
    multiples_H = torch.arange(1, HARMONICS + 1, device=f0_BT.device)
    turns_BTH = f0_BT.double()[..., None] * multiples_H / SAMPLE_RATE_HZ % 1
    sines_BTH = SINE * (2 * torch.pi * HOP * turns_BTH.cumsum(1)).sin()
    voiced_BT1 = (f0_BT > VOICED_HZ)[..., None].to(noise_BSH.dtype)
    level_BT1 = voiced_BT1 * VOICED_NOISE + (1 - voiced_BT1) * SINE / 3
    spoken_BTH = sines_BTH.to(noise_BSH.dtype) * voiced_BT1
    return spoken_BTH.repeat_interleave(HOP, 1) + level_BT1.repeat_interleave(HOP, 1) * noise_BSH
