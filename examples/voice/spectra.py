"""How far a drawn waveform is from the wanted one, as spectra at three resolutions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from examples.voice.corpus import RATE_HZ
from ttsrl.codecs.mel_network import LogMelBands

RESOLUTIONS = ((256, 40), (512, 80), (1_024, 128))
"""Samples of a window, mel bands of it."""
FLOOR = 1e-4


class SpectralDistance(nn.Module):
    """Distances of log-mel spectra, and of spectra (Parallel WaveGAN's, arXiv 1910.11480)."""

    def __init__(self) -> None:
        super().__init__()
        self.mels = nn.ModuleList(
            LogMelBands(RATE_HZ, n, n // 4, bands) for n, bands in RESOLUTIONS
        )

    def forward(self, drawn: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
        """[B, S] twice -> the two distances."""
        mel = torch.stack([(m(drawn) - m(wanted)).abs().mean() for m in self.mels]).mean()
        stft = torch.stack([_distance(drawn, wanted, n) for n, _ in RESOLUTIONS]).mean()
        return mel, stft


def _distance(drawn: Tensor, wanted: Tensor, n_fft: int) -> Tensor:
    a, b = _magnitudes(drawn, n_fft), _magnitudes(wanted, n_fft)
    return (a - b).norm() / b.norm() + (a.log() - b.log()).abs().mean()


def _magnitudes(waveforms: Tensor, n_fft: int) -> Tensor:
    window = torch.hann_window(n_fft, device=waveforms.device)
    spectra = torch.stft(waveforms.float(), n_fft, n_fft // 4, window=window, return_complex=True)
    return spectra.abs().clamp_min(FLOOR)
