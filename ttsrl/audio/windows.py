"""Windows of one length that cover a waveform, for networks that hear no more at once."""

from __future__ import annotations

import numpy as np

from ttsrl.audio.waveform import Waveform


def windows_of(waveform: Waveform, window: int) -> list[Waveform]:
    """The waveform, or where it is longer as many windows as cover it, evenly spaced."""
    count = max(1, -(-len(waveform) // window))
    starts = np.linspace(0, max(0, len(waveform) - window), count).round().astype(int)
    return [waveform[start : start + window] for start in starts]
