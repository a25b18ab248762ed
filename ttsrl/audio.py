"""Waveforms between sample rates."""

from __future__ import annotations

import numpy as np

from ttsrl.codecs import Waveform


def resample(waveform: Waveform, from_hz: int, to_hz: int) -> Waveform:
    """Resample mono float32 samples, [T >= 32] -> [T * to_hz / from_hz] (FFmpeg)."""
    if from_hz == to_hz:
        return waveform

    import av

    frame = av.AudioFrame.from_ndarray(
        np.ascontiguousarray(waveform[None]), format="fltp", layout="mono"
    )
    frame.sample_rate = from_hz
    resampler = av.AudioResampler(format="fltp", layout="mono", rate=to_hz)
    parts = [out.to_ndarray()[0] for out in (*resampler.resample(frame), *resampler.resample(None))]
    return np.concatenate(parts, dtype=np.float32)
