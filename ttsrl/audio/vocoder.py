"""Speech taken apart into pitch, spectral envelope and aperiodicity, and put together again.

WORLD (doi 10.1587/transinf.2015EDP7457), with Harvest for the pitch. Each function takes a waveform
[T] and its rate and gives one of about the same length and the same level.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ttsrl.audio.waveform import Waveform

Curve = NDArray[np.float64]
LOW_VOICE_HZ = 165.0
"""Between the medians of most men and most women."""
PITCH_RATIO = 1.6
TRACT_RATIO = 1.17
"""Formants of women lie so far above those of men (Fant, 1966)."""


def resynthesised(waveform: Waveform, rate_hz: int) -> Waveform:
    """The same speech with the vocoder's artefacts: the clean twin of what the vocoder changes."""
    return _changed(waveform, rate_hz, lambda f0, envelope: (f0, envelope))


def flat_pitch(waveform: Waveform, rate_hz: int) -> Waveform:
    """All that is voiced at its median pitch, a monotone."""

    def flatten(f0_F: Curve, envelope_FK: Curve) -> tuple[Curve, Curve]:
        voiced = f0_F > 0
        return np.where(voiced, np.median(f0_F[voiced]) if voiced.any() else 0.0, 0.0), envelope_FK

    return _changed(waveform, rate_hz, flatten)


def another_voice(waveform: Waveform, rate_hz: int) -> Waveform:
    """A higher voice with a shorter vocal tract for a low one, and the other way round."""

    def change(f0_F: Curve, envelope_FK: Curve) -> tuple[Curve, Curve]:
        voiced = f0_F[f0_F > 0]
        up = not voiced.size or np.median(voiced) < LOW_VOICE_HZ
        pitch, tract = (PITCH_RATIO, TRACT_RATIO) if up else (1 / PITCH_RATIO, 1 / TRACT_RATIO)
        bins = np.arange(envelope_FK.shape[1])
        warped = [np.exp(np.interp(bins / tract, bins, np.log(row))) for row in envelope_FK]
        return f0_F * pitch, np.ascontiguousarray(warped)

    return _changed(waveform, rate_hz, change)


def _changed(
    waveform: Waveform, rate_hz: int, change: Callable[[Curve, Curve], tuple[Curve, Curve]]
) -> Waveform:
    """`change` gets the pitch [F] in Hz, 0 where unvoiced, and the power spectrum [F, K]."""
    import pyworld

    world = cast("Any", pyworld)
    samples = waveform.astype(np.float64)
    f0_F, times_F = world.harvest(samples, rate_hz)
    envelope_FK = world.cheaptrick(samples, f0_F, times_F, rate_hz)
    aperiodicity_FK = world.d4c(samples, f0_F, times_F, rate_hz)
    f0_F, envelope_FK = change(f0_F, envelope_FK)
    made = np.asarray(world.synthesize(f0_F, envelope_FK, aperiodicity_FK, rate_hz))[: len(samples)]
    level = np.sqrt(np.square(samples).mean() / max(1e-12, np.square(made).mean()))
    return np.clip(made * level, -1, 1).astype(np.float32)
