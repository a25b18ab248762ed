"""Music and noises of everyday life, made here: what sounds like speech to a detector of voices."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.signal import chirp

from ttsrl.audio.waveform import Waveform

RATE_HZ = 16_000
LEVEL = 0.1
"""RMS."""
SCALE = (60, 62, 64, 65, 67, 69, 71, 72)
"""C major as MIDI's numbers."""
KEYS_HZ = ((697, 1209), (697, 1336), (770, 1336), (852, 1477), (941, 1336), (852, 1209))
"""Of a telephone."""

Samples = NDArray[np.float64]


def times(duration_s: float) -> Samples:
    return np.arange(round(duration_s * RATE_HZ)) / RATE_HZ


def white(duration_s: float, seed: int = 0) -> Samples:
    return np.random.default_rng(seed).standard_normal(round(duration_s * RATE_HZ))


def melody(seed: int, note_s: float, decay: float, overtones: dict[int, float]) -> Samples:
    """Twelve notes that are struck and fade."""
    t = times(note_s)
    notes = np.random.default_rng(seed).choice(SCALE, 12)
    tones = [
        sum(
            (
                a * np.sin(2 * np.pi * k * 440 * 2 ** ((n - 69) / 12) * t)
                for k, a in overtones.items()
            ),
            0 * t,
        )
        for n in notes
    ]
    return np.concatenate([tone * np.exp(-decay * t) * np.minimum(1, t / 0.01) for tone in tones])


INSTRUMENTS = {
    "flute": {1: 1.0, 2: 0.2},
    "organ": {k: 1.0 for k in (1, 2, 3, 4, 6, 8)},
    "strings": {k: 1 / k for k in range(1, 15)},
    "clarinet": {k: 1 / k for k in range(1, 15, 2)},
}


def repeated(piece: Samples, gap_s: float, count: int) -> Samples:
    return np.tile(np.concatenate([piece, 0 * times(gap_s)]), count)


def swept(low_hz: float, high_hz: float, per_s: float) -> Samples:
    """Three seconds of a tone that rises and falls."""
    f = (low_hz + high_hz) / 2 + (high_hz - low_hz) / 2 * np.sin(2 * np.pi * per_s * times(3))
    return np.sin(2 * np.pi * np.cumsum(f) / RATE_HZ)


def drums() -> Samples:
    t = times(0.25)
    drum = np.exp(-20 * t) * np.sin(2 * np.pi * np.cumsum(150 * np.exp(-10 * t) + 50) / RATE_HZ)
    return np.tile(np.concatenate([drum, 0.3 * np.exp(-15 * t) * white(0.25)]), 8)


def modem() -> Samples:
    """300 bits per second as two tones."""
    bits = np.random.default_rng(0).random(900) < 0.5
    f = np.where(bits, 1070, 1270).repeat(3 * RATE_HZ // 900)
    return np.sin(2 * np.pi * np.cumsum(f) / RATE_HZ)


def keys() -> Samples:
    t = times(0.15)
    return np.concatenate(
        [
            repeated(sum((np.sin(2 * np.pi * f * t) for f in pair), 0 * t), 0.1, 1)
            for pair in KEYS_HZ
        ]
    )


NOISES: dict[str, Callable[[], Samples]] = {
    "drums": drums,
    "modem": modem,
    "telephone keys": keys,
    "bird": lambda: repeated(chirp(times(0.15), 2500, 0.15, 4500), 0.2, 8),
    "siren": lambda: swept(300, 900, 0.5),
    "whistling": lambda: swept(1100, 1900, 0.8),
    "claps": lambda: repeated(np.exp(-25 * times(0.2)) * white(0.2), 0.3, 6),
    "coughs": lambda: repeated(np.exp(-8 * times(0.25)) * white(0.25), 0.4, 4),
    "morse": lambda: repeated(np.sin(2 * np.pi * 700 * times(0.08)), 0.08, 20),
    "clock": lambda: repeated(np.eye(1, RATE_HZ // 100)[0], 0.49, 8),
    "engine": lambda: np.tanh(3 * swept(60, 100, 0.3)),
    **{
        f"{name} {seed}, {note_s} s": partial(melody, seed, note_s, decay, overtones)
        for name, overtones in INSTRUMENTS.items()
        for seed in range(3)
        for note_s, decay in ((0.25, 3.0), (0.4, 8.0))
    },
}  # fmt: skip


def sounds() -> dict[str, Waveform]:
    """Name -> [T] at `RATE_HZ`."""
    made = {name: make() for name, make in NOISES.items()}
    return {
        n: (x * LEVEL / np.sqrt(np.square(x).mean())).astype(np.float32) for n, x in made.items()
    }
