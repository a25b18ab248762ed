"""What Moonshine is given, in either of its forms."""

from __future__ import annotations

import numpy as np

from ttsrl.audio.io import resample
from ttsrl.audio.waveform import Waveform

PACKAGE = "moonshine_voice"
RATE_HZ = 16_000
ENGLISH = "en"
LONGEST_S = 30.0
"""Of the segments that it was trained on."""
SHORTEST = RATE_HZ // 10
"""Samples; its convolutions need 895."""
TOKENS_PER_S = 6.5
"""Most that its authors let it write: beyond that it repeats itself."""


def prepared(waveform: Waveform, sample_rate_hz: int) -> Waveform:
    """At its rate, and long enough for it."""
    heard = resample(waveform, sample_rate_hz, RATE_HZ)
    return np.pad(heard, (0, max(0, SHORTEST - len(heard))))


def most_tokens(heard: Waveform) -> int:
    """That it may write, the start included."""
    return max(2, int(len(heard) / RATE_HZ * TOKENS_PER_S))
