"""A waveform in memory, and how loud it is."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Waveform = NDArray[np.float32]
"""Mono float32 samples in [-1, 1], shape [T]."""


FRAME_S = 0.05
"""Level is measured over frames of this length: a short vowel fills one."""
SILENCE_DBFS = -50.0
"""Speech whose loudest frame is below this is silence, where nothing else is configured."""


def level_dbfs(waveform: Waveform, sample_rate_hz: int) -> float:
    """RMS level of the loudest frame in dB re full scale; -inf for digital silence."""
    frame = max(1, round(FRAME_S * sample_rate_hz))
    squares = np.square(np.pad(waveform, (0, -len(waveform) % frame)), dtype=np.float64)
    if not squares.size:
        return -math.inf
    power = float(squares.reshape(-1, frame).mean(axis=1).max())
    return 10 * math.log10(power) if power > 0 else -math.inf
