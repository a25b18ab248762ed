"""Prosody: how far pitch and level move, how much is voiced, how much is pause.

Pitch by SwiftF0 (arXiv 2508.18440; its weights of 14 386 parameters come with the package), in
frames of 16 ms. Spreads are half the distance between the 16th and the 84th percentile: a standard
deviation for what is normal, and deaf to the octave errors of a tracker.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ttsrl.audio.io import resample
from ttsrl.scorers.base import SpeechSample

if TYPE_CHECKING:
    from swift_f0 import PitchResult

LOWEST_HZ, HIGHEST_HZ = 60.0, 500.0
"""Pitch of adult and child speech."""
VOICED = 0.5
"""SwiftF0's own threshold of confidence."""
SPEECH_DB = 35.0
"""A frame is speech if its level is at most this far below the utterance's loud frames."""
PAUSE_S = 0.15
"""Shorter gaps are stops and glottal closures within words."""
MIN_VOICED = 5
"""Frames; fewer say nothing about a melody, which is then flat."""


class ProsodyScorer:
    """`pitch_spread` (semitones), `energy_spread` (dB), `voiced_share` and `pauses` (shares)."""

    example: Mapping[str, Any] = {}

    def __init__(self) -> None:
        import torch
        from swift_f0 import FRAME_PERIOD, SAMPLE_RATE, SwiftF0

        self.spec: Mapping[str, Any] = {"version": 1, "swift-f0": version("swift-f0")}
        self._rate_hz = SAMPLE_RATE
        self._frame_s = FRAME_PERIOD
        # One thread an utterance, and as many utterances at once as torch takes threads.
        self._tracker = SwiftF0(threads=1, spin=False)
        self._threads = ThreadPoolExecutor(torch.get_num_threads(), "prosody")

    def score(self, speeches: Sequence[SpeechSample]) -> list[dict[str, float]]:
        """Each utterance for itself, so that no company changes it."""
        return list(self._threads.map(self._measure, speeches))

    def pitch_hz(self, speeches: Sequence[SpeechSample]) -> list[float | None]:
        """Median pitch of the voiced frames; None where hardly anything is voiced."""
        return list(self._threads.map(self._pitch_hz, speeches))

    def _pitch_hz(self, speech: SpeechSample) -> float | None:
        found = self._detect(speech)
        voiced_hz = found.pitch_hz[found.confidence >= VOICED]
        return float(np.median(voiced_hz)) if len(voiced_hz) >= MIN_VOICED else None

    def _measure(self, speech: SpeechSample) -> dict[str, float]:
        found = self._detect(speech)
        return prosody(found.pitch_hz, found.confidence >= VOICED, found.loudness_db, self._frame_s)

    def _detect(self, speech: SpeechSample) -> PitchResult:
        heard = resample(speech.waveform, speech.sample_rate_hz, self._rate_hz)
        return self._tracker.detect(heard, self._rate_hz, LOWEST_HZ, HIGHEST_HZ)


def prosody(
    pitch_hz_T: NDArray[np.float64],
    voiced_T: NDArray[np.bool_],
    level_db_T: NDArray[np.float64],
    frame_s: float,
) -> dict[str, float]:
    """Pitch, voicing and level of each frame -> the four measures.

    Only what lies between the first and the last speech frame counts: silence before and after
    says nothing about how a text is read.
    """
    loud_db = np.percentile(level_db_T, 95)
    speech_T = level_db_T >= loud_db - SPEECH_DB
    at = np.flatnonzero(speech_T)
    spoken = slice(at[0], at[-1] + 1)
    voiced_T, speech_T, level_db_T = voiced_T[spoken], speech_T[spoken], level_db_T[spoken]
    voiced_T = voiced_T & speech_T
    semitones = 12 * np.log2(pitch_hz_T[spoken][voiced_T])
    return {
        "pitch_spread": spread(semitones) if len(semitones) >= MIN_VOICED else 0.0,
        "energy_spread": spread(level_db_T[speech_T]),
        "voiced_share": float(voiced_T.mean()),
        "pauses": pause_share(~speech_T, frame_s),
    }


def spread(values: NDArray[np.float64]) -> float:
    """Half the distance between the 16th and the 84th percentile."""
    low, high = np.percentile(values, [16, 84])
    return float(high - low) / 2


def pause_share(silent_T: NDArray[np.bool_], frame_s: float) -> float:
    """Share of the frames that lie in a run of silence of at least `PAUSE_S`."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], silent_T, [False]))))
    runs = edges[1::2] - edges[::2]
    return float(runs[runs * frame_s >= PAUSE_S].sum() / len(silent_T))
