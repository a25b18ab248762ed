"""Clean signal: noise, clipping, clicks and reverberation, estimated from the waveform alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ttsrl.audio.waveform import Waveform
from ttsrl.scorers.base import SpeechSample

FRAME_S = 0.02
CLIPPED = 0.99
"""Of full scale; two such samples in a row are clipping, one may be a peak."""
CLICK_DB = 30.0
"""Above the usual suddenness of its surroundings."""
CLICK_FLOOR = 1e-3
"""Of full scale: in digital silence the least noise would be a click."""
ONE_CLICK_S = 1e-3
"""What sounds as one click."""
HIGHEST_SNR_DB = 60.0
"""Digital silence between words has no noise at all."""
FALL_FRAMES = 5
"""A decay is a run of at least this many falling frames (0.1 s)."""
FALL_DB = 10.0
"""Over which the level falls at least this much."""


class CleanSignalScorer:
    """`snr` (dB), `clipping` (share of samples), `clicks` (1/s) and `reverb` (s)."""

    spec: Mapping[str, Any] = {"version": 2}
    example: Mapping[str, Any] = {}

    def score(self, speeches: Sequence[SpeechSample]) -> list[dict[str, float]]:
        """Each utterance for itself."""
        return [_measure(s.waveform, s.sample_rate_hz) for s in speeches]


def _measure(waveform: Waveform, sample_rate_hz: int) -> dict[str, float]:
    level_db_T = levels_db(waveform, sample_rate_hz)
    return {
        "snr": snr_db(level_db_T),
        "clipping": clipping(waveform),
        "clicks": clicks_per_s(waveform, sample_rate_hz),
        "reverb": decay_s(level_db_T, FRAME_S),
    }


def levels_db(waveform: Waveform, sample_rate_hz: int) -> NDArray[np.float64]:
    """RMS level of each whole frame, dB re full scale, at least -100."""
    frame = round(FRAME_S * sample_rate_hz)
    whole = waveform[: max(frame, len(waveform) // frame * frame)]
    power_T = np.square(np.resize(whole, (max(1, len(whole) // frame), frame)), dtype=np.float64)
    return 10 * np.log10(power_T.mean(axis=1) + 1e-10)


def snr_db(level_db_T: NDArray[np.float64]) -> float:
    """Loud frames (90th percentile) above the quietest ones (5th): speech over what lies below it.

    Speech without any gap has a low value too, so it is a bound from below.
    """
    floor_db, speech_db = np.percentile(level_db_T, [5, 90])
    return float(min(HIGHEST_SNR_DB, speech_db - floor_db))


def clipping(waveform: Waveform) -> float:
    """Share of the samples that stand at full scale beside another one that does."""
    full = np.abs(waveform) >= CLIPPED
    beside = np.zeros_like(full)
    beside[1:] |= full[:-1]
    beside[:-1] |= full[1:]
    return float((full & beside).mean())


def clicks_per_s(waveform: Waveform, sample_rate_hz: int) -> float:
    """Sudden samples per second: those that their two neighbours do not foretell.

    What a straight line between the neighbours misses, against its median in the frame and those
    beside it (an impulse detector on a linear predictor's residual: Vaseghi, Advanced Digital
    Signal Processing and Noise Reduction, chapter on impulsive noise; here the predictor is fixed).
    """
    frame = round(FRAME_S * sample_rate_hz)
    sudden_T = np.abs(waveform[1:-1] - (waveform[:-2] + waveform[2:]) / 2)
    whole = len(sudden_T) // frame * frame
    if whole == 0:
        return 0.0
    sudden_FT = sudden_T[:whole].reshape(-1, frame)
    usual_F = np.pad(np.median(sudden_FT, axis=1), 1, mode="edge")
    usual_F = np.maximum(np.maximum(usual_F[:-2], usual_F[1:-1]), usual_F[2:])
    loudest_F = np.maximum(usual_F, CLICK_FLOOR) * 10 ** (CLICK_DB / 20)
    at = np.flatnonzero(sudden_FT >= loudest_F[:, None])
    clicks = 0 if len(at) == 0 else 1 + int((np.diff(at) > ONE_CLICK_S * sample_rate_hz).sum())
    return clicks * sample_rate_hz / len(waveform)


def decay_s(level_db_T: NDArray[np.float64], frame_s: float) -> float:
    """Seconds in which a sound that ends would fall by 60 dB: a room lets none end faster.

    The 20th percentile over all decays, because speech itself often ends more slowly than its room
    (after Wen, Habets and Naylor 2008, on the distribution of decay rates). 0 if there is none.
    """
    falls = np.diff(level_db_T) < 0
    edges = np.flatnonzero(np.diff(np.concatenate(([False], falls, [False]))))
    times_s = [
        60 * (end - start) * frame_s / (level_db_T[start] - level_db_T[end])
        for start, end in zip(edges[::2], edges[1::2], strict=True)
        if end - start >= FALL_FRAMES and level_db_T[start] - level_db_T[end] >= FALL_DB
    ]
    return float(np.percentile(times_s, 20)) if times_s else 0.0
