"""Sounds in which no one speaks, for which recognisers write words all the same.

Each gives a waveform [T] of so many seconds at a rate, of RMS 0.1; the same for the same call.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ttsrl.audio.waveform import Waveform

Sound = Callable[[float, int], Waveform]

LEVEL = 0.1
"""RMS."""
CHORD_S = 0.5
BREATH_S = 1.5
CHORDS_HZ = ((220, 277, 330), (247, 311, 370), (196, 247, 294), (262, 330, 392))


def white_noise(duration_s: float, rate_hz: int) -> Waveform:
    """All frequencies alike."""
    return _levelled(_white(round(duration_s * rate_hz)))


def pink_noise(duration_s: float, rate_hz: int) -> Waveform:
    """As much power in each octave."""
    return _levelled(_pink(round(duration_s * rate_hz)))


def hum(duration_s: float, rate_hz: int) -> Waveform:
    """50 Hz of the mains, with overtones."""
    t = _times(duration_s, rate_hz)
    return _levelled(sum((np.sin(100 * np.pi * k * t) / k**1.5 for k in range(1, 6)), 0 * t))


def tone(duration_s: float, rate_hz: int) -> Waveform:
    """A sine of 440 Hz."""
    return _levelled(np.sin(2 * np.pi * 440 * _times(duration_s, rate_hz)))


def chords(duration_s: float, rate_hz: int) -> Waveform:
    """Music: chords that are struck and fade."""
    t = _times(CHORD_S, rate_hz)
    struck = [
        sum((np.sin(2 * np.pi * f * k * t) / k for f in chord for k in range(1, 5)), 0 * t)
        for chord in CHORDS_HZ
    ]
    bars = np.concatenate([chord * np.exp(-3 * t) for chord in struck])
    return _levelled(np.resize(bars, round(duration_s * rate_hz)))


def breath(duration_s: float, rate_hz: int) -> Waveform:
    """Noise between 400 Hz and 4 kHz that comes and goes."""
    from scipy.signal import butter, sosfilt

    t = _times(duration_s, rate_hz)
    highest_hz = min(4_000, 0.45 * rate_hz)
    band = butter(2, (400, highest_hz), "bandpass", fs=rate_hz, output="sos")
    noise = np.asarray(sosfilt(band, _pink(len(t))))
    return _levelled(noise * np.clip(np.sin(2 * np.pi * t / BREATH_S), 0, None) ** 0.7)


SOUNDS: dict[str, Sound] = {
    f.__name__: f for f in (white_noise, pink_noise, hum, tone, chords, breath)
}


def _times(duration_s: float, rate_hz: int) -> NDArray[np.float64]:
    return np.arange(round(duration_s * rate_hz)) / rate_hz


def _white(samples: int) -> NDArray[np.float64]:
    return np.random.default_rng(0).standard_normal(samples)


def _pink(samples: int) -> NDArray[np.float64]:
    spectrum = np.fft.rfft(_white(samples))
    octaves = np.sqrt(np.maximum(1, np.arange(len(spectrum))))
    return np.fft.irfft(spectrum / octaves, samples)


def _levelled(samples: NDArray[np.float64]) -> Waveform:
    rms = np.sqrt(np.square(samples).mean())
    return (samples * (LEVEL / max(1e-9, rms))).astype(np.float32)
