"""The network of MelCodec: log-mel -> ConvNeXt -> FSQ -> ConvNeXt -> inverse STFT.

Sequences of several lengths lie in one batch, padded at their ends. Before each convolution what
lies beyond an utterance's end is set to zero, as at the end of an utterance that is alone.

FSQ: arXiv 2309.15505. ConvNeXt with an inverse-STFT head: Vocos, arXiv 2306.00814.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.audio_utils import mel_filter_bank

from ttsrl.base import Strict
from ttsrl.codecs.tiny import ConvNeXtBlock, FiniteScalarQuantizer

FLOOR = 1e-4
"""Least magnitude of a mel band before its logarithm."""
MEAN, SCALE = -5.0, 3.0
"""Of log-mel spectra of speech, roughly."""
LOUDEST = 5.0
"""Greatest log-magnitude of a drawn spectrum."""


class MelCodecConfig(Strict):
    """Contents of the folder's config.json."""

    model_type: str = "mel_codec"
    sample_rate_hz: int = 16_000
    levels: list[int] = [8, 8, 8, 8]
    """Values of each FSQ dimension; their product is the size of the codebook."""
    hop: int = 160
    """Samples between spectra."""
    halvings: int = Field(default=2, ge=0)
    """How often the rate of spectra is halved to become that of tokens."""
    mel_bands: int = 80
    mel_fft: int = 512
    draw_fft: int = 640
    """Samples of a drawn spectrum."""
    hidden_size: int = 240
    encoder_blocks: list[int] = [1, 2, 2]
    """ConvNeXt blocks at each rate, from that of spectra to that of tokens."""
    decoder_blocks: list[int] = [3, 2, 3]
    """... and back."""

    @model_validator(mode="after")
    def _blocks_at_each_rate(self) -> MelCodecConfig:
        for name in ("encoder_blocks", "decoder_blocks"):
            if len(getattr(self, name)) != self.halvings + 1:
                raise ValueError(f"{name} needs {self.halvings + 1} numbers, one per rate")
        return self

    @property
    def codebook_size(self) -> int:
        return math.prod(self.levels)

    @property
    def samples_per_token(self) -> int:
        return self.hop * 2**self.halvings


class LogMelBands(nn.Module):
    """[B, S] samples -> [B, bands, S / hop] log-magnitudes in mel bands; silence lies around."""

    def __init__(self, rate_hz: int, n_fft: int, hop: int, bands: int) -> None:
        super().__init__()
        self.n_fft, self.hop = n_fft, hop
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        slaney = mel_filter_bank(
            1 + n_fft // 2, bands, 0.0, rate_hz / 2, rate_hz, norm="slaney", mel_scale="slaney"
        )
        filters = torch.from_numpy(slaney.T.copy()).float()
        self.register_buffer("filters", filters, persistent=False)

    def forward(self, waveforms: Tensor) -> Tensor:
        with torch.autocast(waveforms.device.type, enabled=False):
            window, filters = self.get_buffer("window"), self.get_buffer("filters")
            spectra = torch.stft(
                waveforms.float(),
                self.n_fft,
                self.hop,
                window=window,
                pad_mode="constant",
                return_complex=True,
            )
            bands = filters @ spectra.abs()[..., : waveforms.shape[1] // self.hop]
            return bands.clamp_min(FLOOR).log()


class MelCodecModel(nn.Module):
    """Encode [B, S] samples to [B, T] tokens, decode them back."""

    def __init__(self, config: MelCodecConfig) -> None:
        super().__init__()
        self.config = config
        size, dims = config.hidden_size, len(config.levels)
        self.mel = LogMelBands(config.sample_rate_hz, config.mel_fft, config.hop, config.mel_bands)
        self.enter = nn.Conv1d(config.mel_bands, size, 5, padding=2)
        self.encoder = nn.ModuleList(_blocks(size, n) for n in config.encoder_blocks)
        self.slower = nn.ModuleList(
            nn.Conv1d(size, size, 4, stride=2, padding=1) for _ in range(config.halvings)
        )
        self.narrow = nn.Sequential(nn.LayerNorm(size), nn.Linear(size, dims))
        # Without this normalisation FSQ's dimensions collapse one after another in training.
        self.spread = nn.BatchNorm1d(dims, affine=False, momentum=0.02)
        self.quantizer = FiniteScalarQuantizer(config.levels)
        self.embed = nn.Linear(dims, size)
        self.decoder = nn.ModuleList(_blocks(size, n) for n in config.decoder_blocks)
        self.faster = nn.ModuleList(
            nn.ConvTranspose1d(size, size, 4, stride=2, padding=1) for _ in range(config.halvings)
        )
        self.draw = nn.Sequential(nn.LayerNorm(size), nn.Linear(size, config.draw_fft + 2))

    def decoding(self) -> Iterable[nn.Parameter]:
        """The weights behind the quantiser."""
        for part in (self.embed, self.decoder, self.faster, self.draw):
            yield from part.parameters()

    def latents(self, waveforms: Tensor, lengths: Tensor | None = None) -> Tensor:
        """[B, S] samples, S whole tokens -> [B, T, D] before quantisation.

        `lengths` [B]: each waveform's tokens; None: all have S.
        """
        rate = 2**self.config.halvings
        x = self.enter(_within((self.mel(waveforms) - MEAN) / SCALE, lengths, rate))
        for n, blocks in enumerate(self.encoder):
            if n:
                x = self.slower[n - 1](_within(x, lengths, rate))
                rate //= 2
            x = _through(blocks, x, lengths, rate)
        z = self.narrow(x.transpose(1, 2)).float().transpose(1, 2)
        return 0.9 * self.spread(z).transpose(1, 2)

    def synthesise(self, points: Tensor, lengths: Tensor | None = None) -> Tensor:
        """[B, T, D] points of the FSQ grid -> [B, S] samples; `lengths` as in `latents`."""
        x = self.embed(points).transpose(1, 2)
        rate = 1
        for n, blocks in enumerate(self.decoder):
            if n:
                x = self.faster[n - 1](_within(x, lengths, rate))
                rate *= 2
            x = _through(blocks, x, lengths, rate)
        log_magnitude, phase = self.draw(x.transpose(1, 2)).float().transpose(1, 2).chunk(2, 1)
        spectra = torch.polar(log_magnitude.clamp(max=LOUDEST).exp(), phase)
        return self._inverse_stft(spectra, _inside(spectra, lengths, rate))

    def _inverse_stft(self, spectra: Tensor, inside: Tensor) -> Tensor:
        """[B, F, T], and [B, 1, T] which of them count -> [B, S]: frames centred in their hops."""
        n_fft, hop = self.config.draw_fft, self.config.hop
        length = (spectra.shape[2] - 1) * hop + n_fft
        hann = torch.hann_window(n_fft, device=spectra.device)[:, None]

        def overlap_add(frames: Tensor) -> Tensor:
            return F.fold(frames, (1, length), (1, n_fft), stride=(1, hop)).flatten(1)

        total = overlap_add(torch.fft.irfft(spectra, n_fft, dim=1) * hann * inside)
        weight = overlap_add(hann**2 * inside)
        edge = (n_fft - hop) // 2
        return total[:, edge:-edge] / weight[:, edge:-edge].clamp_min(1e-6)

    def forward(self, waveforms: Tensor) -> Tensor:
        """[B, S] -> [B, S]: through the bottleneck and back."""
        return self.synthesise(self.quantizer(self.latents(waveforms)))


def _blocks(size: int, count: int) -> nn.ModuleList:
    return nn.ModuleList(ConvNeXtBlock(size, 7) for _ in range(count))


def _through(blocks: nn.Module, x: Tensor, lengths: Tensor | None, rate: int) -> Tensor:
    for block in blocks.children():
        x = block(_within(x, lengths, rate))
    return x


def _within(x: Tensor, lengths: Tensor | None, rate: int) -> Tensor:
    """[B, D, T] with zeros beyond each sequence's end; `rate`: vectors per token."""
    return x if lengths is None else x * _inside(x, lengths, rate)


def _inside(x: Tensor, lengths: Tensor | None, rate: int) -> Tensor:
    """[B, 1, T]: 1 where a sequence is, 0 beyond its end."""
    if lengths is None:
        return torch.ones(len(x), 1, x.shape[2], device=x.device)
    places = torch.arange(x.shape[2], device=x.device)
    return (places < rate * lengths[:, None]).float()[:, None]
