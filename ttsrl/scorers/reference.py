"""The start-up self-test of a scorer: a voice-like clip measured alone and in company."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ttsrl.audio.waveform import Waveform
from ttsrl.scorers.base import Scorer, SpeechSample
from ttsrl.scorers.remote import RemoteScorer

RATE_HZ = 16_000
SYLLABLE_S = 0.18
VOWELS = (
    (730, 1090, 2440),
    (270, 2290, 3010),
    (570, 840, 2410),
    (530, 1840, 2480),
    (300, 870, 2240),
)
"""Hertz of the first three formants."""
TOLERANCE = 1e-3
"""Of a value's size, or absolute below 1; far below what a wrong mask or a padded batch makes."""


def voice(
    duration_s: float,
    sample_rate_hz: int = RATE_HZ,
    *,
    pitch_hz: float = 140.0,
    swing_semitones: float = 3.0,
    syllables_per_s: float = 4.0,
) -> Waveform:
    """Harmonics of a gliding pitch under two formants, in syllables: the same for ever.

    The pitch swings as a sine by `swing_semitones` to either side once in 1.6 s; each syllable has
    a level of its own.
    """
    t = np.arange(round(duration_s * sample_rate_hz)) / sample_rate_hz
    semitones = swing_semitones * np.sin(2 * np.pi * t / 1.6)
    f0 = pitch_hz * 2 ** (semitones / 12)
    phase = 2 * np.pi * np.cumsum(f0) / sample_rate_hz
    samples = np.zeros_like(t)
    for k in range(1, int(min(4_000, sample_rate_hz / 2) / (pitch_hz * 1.3))):
        formants = sum(np.exp(-0.5 * ((k * f0 - f) / 250) ** 2) for f in (600.0, 1_500.0))
        samples += (0.1 / k + formants) / math.sqrt(k) * np.sin(k * phase)
    syllable = syllables_per_s * t
    loudness = 0.6 + 0.4 * np.sin(2.4 * np.floor(syllable))
    samples *= loudness * np.sin(np.pi * (syllable % 1)) ** 2
    return (0.3 * samples / max(1e-9, np.abs(samples).max())).astype(np.float32)


def vowels(duration_s: float, pitch_hz: float = 120.0) -> Waveform:
    """Five vowels in turn, one per syllable, at 16 kHz: what a voice-activity detector is sure of.

    A pulse train through three resonators in series, as formant synthesisers have it (Klatt 1980);
    the formants are a man's averages of Peterson and Barney 1952.
    """
    from scipy.signal import lfilter

    t = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ
    glide = pitch_hz * 2 ** (0.15 * np.sin(2 * np.pi * t / 1.1))
    pulses = np.diff(np.floor(np.cumsum(glide) / RATE_HZ), prepend=0)
    source = np.asarray(lfilter([1, 0, -1], [1, -1.711, 0.7206], pulses))  # 80 to 900 Hz
    syllable = round(SYLLABLE_S * RATE_HZ)
    samples = np.zeros(len(t))
    for n, start in enumerate(range(0, len(t), syllable)):
        part = source[start : start + syllable]
        for formant_hz, width_hz in zip(VOWELS[n % len(VOWELS)], (60, 100, 140), strict=True):
            decay, turn = np.exp(-np.pi * width_hz / RATE_HZ), 2 * np.pi * formant_hz / RATE_HZ
            resonator = [1, -2 * decay * np.cos(turn), decay**2]
            part = np.asarray(lfilter([sum(resonator)], resonator, part))
        samples[start : start + syllable] = part
    samples *= np.sin(np.pi * t / SYLLABLE_S) ** 2
    return (0.5 * samples / max(1e-9, np.abs(samples).max())).astype(np.float32)


def check_scorer(name: str, scorer: Scorer | RemoteScorer) -> None:
    """Raise RuntimeError unless a scorer gives finite values, the same alone and in company.

    Another program is asked once: it hears each utterance alone.
    """
    speeches = [
        SpeechSample(voice(s, pitch_hz=f), RATE_HZ, **_fields(scorer))
        for s, f in [(1.5, 140.0), (2.2, 140.0), (1.5, 210.0)]
    ]
    if isinstance(scorer, RemoteScorer):
        scorer.check(speeches[0])
        return
    together = scorer.score(speeches)
    for values in together:
        if not all(map(math.isfinite, values.values())):
            raise RuntimeError(f"{name} does not return numbers: {values}")
    alone = scorer.score(speeches[:1])[0]
    for key, value in alone.items():
        if not math.isclose(value, together[0][key], rel_tol=TOLERANCE, abs_tol=TOLERANCE):
            raise RuntimeError(
                f"{name} measures {key} = {value} alone and {together[0][key]} in company"
            )


def _fields(scorer: Scorer | RemoteScorer) -> dict[str, Any]:
    return {"text": "A reference clip.", "language": "en"} | dict(scorer.example)
