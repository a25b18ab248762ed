"""Networks that tell drawn speech from recorded: by complex spectra and by periods.

Spectra: EnCodec, arXiv 2210.13438. Periods: HiFi-GAN, arXiv 2010.05646. Losses: both.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

N_FFTS = (256, 512, 1_024)
PERIODS = (2, 3, 5, 7)
SLOPE = 0.1

Heard = tuple[Tensor, list[Tensor]]
"""A discriminator's verdicts, and the features on its way to them."""


class SpectrumDiscriminator(nn.Module):
    """2-D convolutions over the real and imaginary parts of an STFT."""

    def __init__(self, n_fft: int, channels: int = 32) -> None:
        super().__init__()
        self.n_fft = n_fft
        self.layers = nn.ModuleList(
            weight_norm(layer)
            for layer in (
                nn.Conv2d(2, channels, (7, 5), (2, 1), (3, 2)),
                nn.Conv2d(channels, channels, (5, 3), (2, 1), (2, 1)),
                nn.Conv2d(channels, channels, (5, 3), (2, 2), (2, 1)),
                nn.Conv2d(channels, channels, 3, (2, 1), 1),
            )
        )
        self.verdict = weight_norm(nn.Conv2d(channels, 1, 3, 1, 1))

    def forward(self, waveforms: Tensor) -> Heard:
        window = torch.hann_window(self.n_fft, device=waveforms.device)
        spectra = torch.stft(
            waveforms.float(),
            self.n_fft,
            self.n_fft // 4,
            window=window,
            normalized=True,
            return_complex=True,
        )
        x = 4 * torch.view_as_real(spectra).permute(0, 3, 1, 2)
        return _hear(x, self.layers, self.verdict)


class PeriodDiscriminator(nn.Module):
    """Convolutions over every `period`-th sample."""

    def __init__(self, period: int, channels: tuple[int, ...] = (1, 32, 64, 128, 192)) -> None:
        super().__init__()
        self.period = period
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(a, b, (5, 1), (3, 1), (2, 0))) for a, b in pairwise(channels)
        )
        self.verdict = weight_norm(nn.Conv2d(channels[-1], 1, (3, 1), 1, (1, 0)))

    def forward(self, waveforms: Tensor) -> Heard:
        x = F.pad(waveforms, (0, -waveforms.shape[1] % self.period))
        x = x.unflatten(1, (-1, self.period))[:, None]
        return _hear(x, self.layers, self.verdict)


class Discriminators(nn.Module):
    """All of them."""

    def __init__(self) -> None:
        super().__init__()
        self.all = nn.ModuleList(
            [
                *(SpectrumDiscriminator(n) for n in N_FFTS),
                *(PeriodDiscriminator(period) for period in PERIODS),
            ]
        )

    def forward(self, waveforms: Tensor) -> list[Heard]:
        """[B, S] -> what each heard."""
        return [one(waveforms) for one in self.all]


def told_apart(real: list[Heard], drawn: list[Heard]) -> Tensor:
    """Hinge loss of the discriminators."""
    losses = [
        (1 - r.float()).relu().mean() + (1 + d.float()).relu().mean()
        for (r, _), (d, _) in zip(real, drawn, strict=True)
    ]
    return torch.stack(losses).mean()


def fooled(real: list[Heard], drawn: list[Heard]) -> Tensor:
    """Loss of the decoder: hinge, and the distance of the discriminators' features."""
    hinge = torch.stack([(1 - verdict.float()).relu().mean() for verdict, _ in drawn]).mean()
    distances = [
        (a.float() - b.float()).abs().mean() / a.float().abs().mean().clamp_min(1e-4)
        for (_, real_features), (_, drawn_features) in zip(real, drawn, strict=True)
        for a, b in zip(real_features, drawn_features, strict=True)
    ]
    return hinge + torch.stack(distances).sum() / len(drawn)


def _hear(x: Tensor, layers: nn.ModuleList, verdict: nn.Module) -> Heard:
    features: list[Tensor] = []
    for layer in layers:
        x = F.leaky_relu(layer(x), SLOPE)
        features.append(x)
    return verdict(x), features
