"""CosyVoice2's HiFT vocoder for utterances of unequal lengths in one batch, each as if alone.

chatterbox' own decode has no mask: its convolutions and Fourier transforms hear what pads the
shorter ones. Its weights are used here, with zeros beyond an utterance's end before every
convolution, the source reflected at its own end, and no part of the padding in the overlap-add.
Shapes: B utterances, T frames of a mel, S samples, F spectra of 4 samples each.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ttsrl.audio.waveform import Waveform
from ttsrl.codecs.cosyvoice2_network import HARMONICS, HOP, MELS, harmonics
from ttsrl.codecs.fixed_passes import Passes
from ttsrl.codecs.flow_graph import Graphs, Network

ROWS, TOKENS = 8, 64
"""Utterances of a pass on a GPU, and what its length is a multiple of (2.56 s)."""
LOUDEST = 1e2
"""Greatest magnitude of a spectrum."""


class Vocoder(Protocol):
    """Mels -> waveforms, with noise that comes from the tokens."""

    def waveforms(
        self, tokens_B: Sequence[tuple[int, ...]], mels_B: Sequence[Tensor]
    ) -> list[Waveform]:
        """Of utterances of T tokens each and their mels [MELS, 2 T]."""
        ...


class MaskedVocoder:
    """CosyVoice2's, several utterances at a time on a GPU."""

    def __init__(self, hift: Any, device: torch.device) -> None:
        """`hift` is of `hift_of` in cosyvoice2_network, on that device."""
        self.hift, self.device = hift, device
        self.passes = Passes()  # a CPU computes padding as slowly as speech
        self.decode: Network = MaskedDecode(hift)
        if device.type == "cuda":
            self.passes, self.decode = Passes(ROWS, TOKENS), Graphs(self.decode)

    def waveforms(
        self, tokens_B: Sequence[tuple[int, ...]], mels_B: Sequence[Tensor]
    ) -> list[Waveform]:
        """See `Vocoder`."""
        launched: list[tuple[list[int], Tensor]] = []
        for one in self.passes.of([len(tokens) for tokens in tokens_B]):
            inputs = self._inputs(
                [tokens_B[n] for n in one.members], [mels_B[n] for n in one.members], one.length
            )
            filled = {name: _filled_up(x, len(one.rows)) for name, x in inputs.items()}
            launched.append((one.members, self.decode(**filled)))
        found: dict[int, Waveform] = {}
        for members, samples_BS in launched:
            for n, samples in zip(members, samples_BS.cpu().numpy(), strict=False):
                found[n] = samples[: 2 * HOP * len(tokens_B[n])].copy()
        return [found[n] for n in range(len(tokens_B))]

    def _inputs(
        self, tokens_B: Sequence[tuple[int, ...]], mels_B: Sequence[Tensor], count: int
    ) -> dict[str, Tensor]:
        """Of `MaskedDecode`, for rows of `count` tokens, padding included."""
        rows, frames = len(mels_B), 2 * count
        mel_BMT = torch.zeros(rows, MELS, frames, device=self.device)
        pitch_BT = torch.zeros(rows, frames, device=self.device)
        noise_BSH = torch.zeros(rows, frames * HOP, HARMONICS, device=self.device)
        for n, (tokens, mel_MT) in enumerate(zip(tokens_B, mels_B, strict=True)):
            own = mel_MT.shape[1]
            mel_BMT[n, :, :own] = mel_MT
            # Alone: in a batch it would differ in its last bits, which a phase that is summed up
            # over seconds turns into another waveform.
            pitch_BT[n, :own] = self.hift.f0_predictor(mel_MT[None])[0]
            noise_BSH[n, : own * HOP].normal_(generator=generator_of(tokens, self.device))
        lengths_B = torch.tensor([mel_MT.shape[1] for mel_MT in mels_B]).to(self.device)
        return {"x": mel_BMT, "pitch": pitch_BT, "noise": noise_BSH, "frames": lengths_B}


def generator_of(tokens: tuple[int, ...], device: torch.device) -> torch.Generator:
    """Of numbers that depend on the tokens alone, and on the kind of device."""
    content = np.asarray(tokens, "<i4").tobytes()
    seed = int.from_bytes(hashlib.sha256(content).digest()[:8], "little") >> 1
    return torch.Generator(device).manual_seed(seed)


class MaskedDecode:
    """Mels, pitches, noise and lengths -> samples, of which the padding's are to be cut off."""

    def __init__(self, hift: Any) -> None:
        self.hift = hift
        self.fft, self.hop = hift.istft_params["n_fft"], hift.istft_params["hop_len"]

    def __call__(self, x: Tensor, pitch: Tensor, noise: Tensor, frames: Tensor) -> Tensor:
        """Samples [B, T HOP] of mels `x` [B, MELS, T] of `frames` [B] each, and 0 beyond.

        `pitch` [B, T] in Hz, 0 beyond the end; `noise` [B, T HOP, HARMONICS] of normal numbers.
        """
        hift = self.hift
        merge = hift.m_source
        source = merge.l_tanh(merge.l_linear(harmonics(pitch, noise)))[..., 0]
        per_frame = HOP // self.hop
        inside_B1F = _inside(per_frame * frames + 1, per_frame * x.shape[2] + 1)
        spectra_BCF = self._spectra(_reflected(source, HOP * frames)) * inside_B1F
        h = hift.conv_pre(x)
        rate, count = 1, hift.num_kernels
        for n, up in enumerate(hift.ups):
            # its bias has filled the padding, which the next one reads
            h = h * _inside(rate * frames, rate * x.shape[2])
            h = up(F.leaky_relu(h, hift.lrelu_slope))
            rate *= up.stride[0]
            inside = _inside(rate * frames, rate * x.shape[2])
            if n == hift.num_upsamples - 1:
                h, inside = hift.reflection_pad(h), inside_B1F
            of_source = hift.source_downs[n](spectra_BCF) * inside
            h = h * inside + _residual(hift.source_resblocks[n], of_source, inside)
            blocks = hift.resblocks[n * count : (n + 1) * count]
            h = torch.stack([_residual(block, h, inside) for block in blocks]).sum(0) / count
        log_magnitude, turn = hift.conv_post(F.leaky_relu(h)).split(self.fft // 2 + 1, 1)
        magnitude = log_magnitude.float().exp().clamp(max=LOUDEST)
        samples = self._samples(torch.polar(magnitude, turn.float().sin()), inside_B1F)
        return samples.clamp(-hift.audio_limit, hift.audio_limit)

    def _spectra(self, source_BS: Tensor) -> Tensor:
        """[B, 2 bins, F] real and imaginary parts."""
        window = self.hift.stft_window
        found = torch.stft(source_BS, self.fft, self.hop, window=window, return_complex=True)
        return torch.cat([found.real, found.imag], 1)

    def _samples(self, spectra_BNF: Tensor, inside_B1F: Tensor) -> Tensor:
        """The inverse of it: the middles of the first and the last spectrum are the ends."""
        window_N1 = self.hift.stft_window[:, None]
        frames_BNF = torch.fft.irfft(spectra_BNF, self.fft, dim=1) * window_N1
        total = self._overlap(frames_BNF * inside_B1F)
        weight = self._overlap(window_N1.square() * inside_B1F)
        inner = slice(self.fft // 2, -(self.fft // 2))
        # no window reaches beyond an utterance's end
        return total[:, inner] / weight[:, inner].clamp_min(1e-11)

    def _overlap(self, frames_BNF: Tensor) -> Tensor:
        """Add up frames, each `hop` samples after the one before."""
        rows, size, count = frames_BNF.shape
        parts_BPHF = frames_BNF.view(rows, size // self.hop, self.hop, count)
        parts = parts_BPHF.shape[1]
        summed = frames_BNF.new_zeros(rows, self.hop, count + parts - 1)
        for k in range(parts):
            summed[:, :, k : k + count] += parts_BPHF[:, k]
        return summed.mT.flatten(1)


def _filled_up(x: Tensor, rows: int) -> Tensor:
    """`x` and its first row again until there are `rows`."""
    return x if len(x) == rows else torch.cat([x, x[:1].expand(rows - len(x), *x.shape[1:])])


def _inside(lengths_B: Tensor, count: int) -> Tensor:
    """[B, 1, `count`]: 1 where an utterance is, 0 beyond its end."""
    places = torch.arange(count, device=lengths_B.device)
    return (places < lengths_B[:, None]).float()[:, None]


def _reflected(source_BS: Tensor, lengths_B: Tensor) -> Tensor:
    """[B, S] with what lies before each utterance's end, backwards, behind it."""
    places = torch.arange(source_BS.shape[1], device=source_BS.device)
    mirrored = (2 * (lengths_B[:, None] - 1) - places).clamp_min(0)
    return source_BS.gather(1, torch.where(places < lengths_B[:, None], places, mirrored))


def _residual(block: Any, x_BCF: Tensor, inside_B1F: Tensor) -> Tensor:
    """A ResBlock of `x`, which is 0 beyond each utterance's end; so is what comes of it.

    Snake leaves zeros as they are.
    """
    parts = zip(block.activations1, block.convs1, block.activations2, block.convs2, strict=True)
    for first_snake, first, second_snake, second in parts:
        h = first(_snake(first_snake, x_BCF)) * inside_B1F
        x_BCF = x_BCF + second(_snake(second_snake, h)) * inside_B1F
    return x_BCF


def _snake(activation: Any, x_BCF: Tensor) -> Tensor:
    alpha_C1 = activation.alpha[:, None]
    turned = (x_BCF * alpha_C1).sin()
    return torch.addcmul(x_BCF, turned, turned / (alpha_C1 + activation.no_div_by_zero))
