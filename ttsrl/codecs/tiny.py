"""TinyCodec: the codec of the tiny stack, small enough to be trained on a laptop in minutes.

Waveform -> patches of 80 ms -> log-magnitude spectra -> MLP -> FSQ (one codebook) -> ConvNeXt ->
inverse STFT. A token depends on its own patch alone, so that joined recordings have the joined
tokens of the recordings; the decoder hears a token's neighbours too.

FSQ: arXiv 2309.15505. ConvNeXt with an inverse-STFT head: Vocos, arXiv 2306.00814.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from ttsrl.audio.equal_lengths import equal_lengths
from ttsrl.audio.waveform import Waveform
from ttsrl.base import Strict
from ttsrl.codecs.base import check_tokens
from ttsrl.codecs.config_file import read_config
from ttsrl.models.hub import fill, read_weights


class TinyCodecConfig(Strict):
    """Contents of the folder's config.json."""

    model_type: str = "tiny_codec"
    sample_rate_hz: int = 16_000
    levels: list[int] = [8, 5, 5, 5]
    """Values of each FSQ dimension; their product is the size of the codebook."""
    samples_per_token: int = 1_280
    frames_per_token: int = Field(default=4, ge=1)
    """Spectra that the decoder draws for a token."""
    n_fft: int = 1_024
    hidden_size: int = 160
    token_blocks: int = 3
    """ConvNeXt blocks at the rate of tokens; each hears one token to either side."""
    frame_blocks: int = 4
    """ConvNeXt blocks at the rate of spectra."""

    @property
    def codebook_size(self) -> int:
        return math.prod(self.levels)


class FiniteScalarQuantizer(nn.Module):
    """Bound each dimension, round it, and read the digits as one token."""

    def __init__(self, levels: Sequence[int]) -> None:
        super().__init__()
        self.levels = torch.tensor(levels)
        self.basis = torch.tensor([math.prod(levels[:i]) for i in range(len(levels))])

    def bound(self, z: Tensor) -> Tensor:
        """[..., D] -> [..., D], each within half a step of its dimension's levels."""
        levels = self.levels.to(z)
        half = (levels - 1) * (1 - 1e-3) / 2
        offset = torch.where(levels % 2 == 0, 0.5, 0.0)
        return torch.tanh(z + torch.atanh(offset / half)) * half - offset

    def forward(self, z: Tensor) -> Tensor:
        """[..., D] -> the grid point of its token; straight-through gradient."""
        bounded = self.bound(z)
        return (bounded + (bounded.round() - bounded).detach()) / (self.levels.to(z) // 2)

    def tokens(self, z: Tensor) -> Tensor:
        """[..., D] -> [...] int64."""
        digits = self.bound(z).round().long() + (self.levels // 2).to(z.device)
        return (digits * self.basis.to(z.device)).sum(-1)

    def points(self, tokens: Tensor) -> Tensor:
        """[...] int64 -> [..., D] float32."""
        levels = self.levels.to(tokens.device)
        digits = tokens[..., None] // self.basis.to(tokens.device) % levels
        return ((digits - levels // 2) / (levels // 2)).float()


class ConvNeXtBlock(nn.Module):
    """Depth-wise convolution and MLP with a scaled residual, on [B, D, T]."""

    def __init__(self, size: int, kernel: int) -> None:
        super().__init__()
        self.mix = nn.Conv1d(size, size, kernel, padding=kernel // 2, groups=size)
        self.norm = nn.LayerNorm(size)
        self.widen = nn.Linear(size, 3 * size)
        self.narrow = nn.Linear(3 * size, size)
        self.scale = nn.Parameter(torch.full((size,), 0.1))

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(self.mix(x).transpose(1, 2))
        return x + (self.scale * self.narrow(F.gelu(self.widen(h)))).transpose(1, 2)


class TinyCodecModel(nn.Module):
    """The network: encode [B, S] samples to [B, T] tokens, decode them back."""

    def __init__(self, config: TinyCodecConfig) -> None:
        super().__init__()
        self.config = config
        size, dims = config.hidden_size, len(config.levels)
        self.window = config.samples_per_token // 4
        n_windows = 2 * config.samples_per_token // self.window - 1
        self.encoder = nn.Sequential(
            nn.Linear(n_windows * (self.window // 2 + 1), 2 * size),
            nn.GELU(),
            nn.Linear(2 * size, size),
            nn.GELU(),
            nn.LayerNorm(size),
            nn.Linear(size, dims),
        )
        # Without this normalisation FSQ's dimensions collapse one after another in training.
        self.spread = nn.BatchNorm1d(dims, affine=False, momentum=0.02)
        self.quantizer = FiniteScalarQuantizer(config.levels)
        self.embed = nn.Linear(dims, size)
        self.token_blocks = nn.Sequential(
            *(ConvNeXtBlock(size, 3) for _ in range(config.token_blocks))
        )
        self.upsample = nn.Linear(size, config.frames_per_token * size)
        self.frame_blocks = nn.Sequential(
            *(ConvNeXtBlock(size, 7) for _ in range(config.frame_blocks))
        )
        self.norm = nn.LayerNorm(size)
        self.head = nn.Linear(size, config.n_fft + 2)

    def latents(self, waveforms: Tensor) -> Tensor:
        """[B, S] samples, S whole patches -> [B, T, D] before quantisation."""
        patches = waveforms.unflatten(1, (-1, self.config.samples_per_token))
        frames = patches.unfold(2, self.window, self.window // 2)
        hann = torch.hann_window(self.window, device=waveforms.device)
        spectra = torch.fft.rfft(frames * hann).abs().clamp_min(1e-3).log()
        return self.spread(self.encoder(spectra.flatten(2) / 3).transpose(1, 2)).transpose(1, 2)

    def synthesise(self, points: Tensor) -> Tensor:
        """[B, T, D] points of the FSQ grid -> [B, S] samples."""
        h = self.token_blocks(self.embed(points).transpose(1, 2)).transpose(1, 2)
        h = self.upsample(h).unflatten(2, (self.config.frames_per_token, -1)).flatten(1, 2)
        h = self.frame_blocks(h.transpose(1, 2)).transpose(1, 2)
        log_magnitude, phase = self.head(self.norm(h)).float().chunk(2, -1)
        return self._inverse_stft(torch.polar(log_magnitude.clamp(max=6).exp(), phase))

    def _inverse_stft(self, spectra: Tensor) -> Tensor:
        """[B, T, F] -> [B, S]: overlap-add of frames centred in their hops."""
        n_fft = self.config.n_fft
        hop = self.config.samples_per_token // self.config.frames_per_token
        length = (spectra.shape[1] - 1) * hop + n_fft
        hann = torch.hann_window(n_fft, device=spectra.device)

        def overlap_add(frames: Tensor) -> Tensor:
            return F.fold(frames.transpose(1, 2), (1, length), (1, n_fft), stride=(1, hop))

        total = overlap_add(torch.fft.irfft(spectra, n_fft) * hann)
        weight = overlap_add((hann**2).expand(1, spectra.shape[1], -1))
        edge = (n_fft - hop) // 2
        return (total[..., edge:-edge] / weight[..., edge:-edge]).flatten(1)

    def forward(self, waveforms: Tensor) -> Tensor:
        """[B, S] -> [B, S]: through the bottleneck and back."""
        return self.synthesise(self.quantizer(self.latents(waveforms)))


class TinyCodec:
    """A trained TinyCodec; see `ttsrl.codecs.base.Codec`."""

    def __init__(self, model: TinyCodecModel, device: str = "cpu") -> None:
        self.model = model.to(device).float().eval()
        self.device = device
        config = model.config
        self.codebook_size = config.codebook_size
        self.sample_rate_hz = config.sample_rate_hz
        self.tokens_per_s = config.sample_rate_hz / config.samples_per_token

    @classmethod
    def load(cls, path: str, device: str = "cpu") -> TinyCodec:
        """Load config.json and model.safetensors of a folder; computes in float32.

        Raises BadInput.
        """
        config = read_config(Path(path), TinyCodecConfig, "tiny codec")
        model = TinyCodecModel(config)
        fill(model, read_weights(Path(path)), path)
        return cls(model, device)

    @torch.inference_mode()
    def decode(self, tokens_B: Sequence[Sequence[int]]) -> list[Waveform]:
        """Decode utterances of any lengths >= 1; ValueError for tokens outside the codebook."""
        for tokens in tokens_B:
            check_tokens(tokens, self.codebook_size)
        waveforms: dict[int, Waveform] = {}
        for rows in equal_lengths(tokens_B):
            samples_RS = self._decode(torch.tensor([list(tokens_B[row]) for row in rows]))
            waveforms.update(zip(rows, samples_RS.float().cpu().numpy(), strict=True))
        return [waveforms[row] for row in range(len(tokens_B))]

    def _decode(self, tokens_BT: Tensor) -> Tensor:
        points = self.model.quantizer.points(tokens_BT.to(self.device))
        return self.model.synthesise(points).clamp(-1.0, 1.0)

    @torch.inference_mode()
    def encode(self, waveforms_B: Sequence[Waveform]) -> list[list[int]]:
        """Encode recordings of any lengths >= 1, each one's end padded to a whole token."""
        patch = self.model.config.samples_per_token
        lengths = [-(-len(waveform) // patch) for waveform in waveforms_B]
        padded = np.zeros((len(waveforms_B), max(lengths) * patch), np.float32)
        for row, waveform in zip(padded, waveforms_B, strict=True):
            row[: len(waveform)] = waveform
        latents_BTD = self.model.latents(torch.from_numpy(padded).to(self.device))
        tokens_BT = self.model.quantizer.tokens(latents_BTD).tolist()
        return [tokens[:length] for tokens, length in zip(tokens_BT, lengths, strict=True)]
