"""What an audit asks a reward about: recordings spoiled and combined, sounds with made-up texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ttsrl.audio.degradations import DEGRADATIONS, REVOICED
from ttsrl.audio.io import resample
from ttsrl.audio.sounds import SOUNDS
from ttsrl.audio.vocoder import resynthesised
from ttsrl.audio.waveform import Waveform
from ttsrl.serving.recording import RecordedUtterance
from ttsrl.text.normalise import normalise

RATE_HZ = 16_000
SOUND_S = 2.0
"""Not too long for a word."""
HALLUCINATED = ("you", "Thank you.")
"""What Whisper writes for many sounds in which no one speaks."""


@dataclass(frozen=True)
class AuditCase:
    """One way to be bad."""

    name: str
    utterances: list[RecordedUtterance]
    twins: list[RecordedUtterance]
    """The clean twin of each, which gets the reward that it has to stay below."""


def cases(recordings: Sequence[RecordedUtterance]) -> Iterator[AuditCase]:
    """Every way to spoil speech; each is made when it is asked for, and takes a while."""
    clean = list(recordings)
    for name, spoil in DEGRADATIONS.items():
        yield AuditCase(name, [_with(r, spoil(r.waveform, r.sample_rate_hz)) for r in clean], clean)
    pairs = list(zip(clean, [*clean[1:], clean[0]], strict=True))
    another = [r.model_copy(update={"text": other.text}) for r, other in pairs]
    yield AuditCase("another_text", another, clean)
    leaking = [_with(r, np.concatenate([_at_rate_of(r, other), r.waveform])) for r, other in pairs]
    yield AuditCase("prompt_leak", leaking, clean)
    yield from two_languages(clean)
    vocoded = [_with(r, resynthesised(r.waveform, r.sample_rate_hz)) for r in clean]
    for name, spoil in REVOICED.items():
        spoiled = [_with(r, spoil(r.waveform, r.sample_rate_hz)) for r in clean]
        yield AuditCase(name, spoiled, vocoded)


def two_languages(recordings: Sequence[RecordedUtterance]) -> Iterator[AuditCase]:
    """First half, and the second half of a recording in another language; none without one."""
    mixed: list[RecordedUtterance] = []
    twins: list[RecordedUtterance] = []
    for r in recordings:
        for other in [o for o in recordings if o.language != r.language][:1]:
            foreign = _at_rate_of(r, other)
            halves = r.waveform[: len(r.waveform) // 2], foreign[len(foreign) // 2 :]
            mixed.append(_with(r, np.concatenate(halves)))
            twins.append(r)
    if mixed:
        yield AuditCase("two_languages", mixed, twins)


def sounds_as_words(
    sounds_of: Sequence[RecordedUtterance], texts: Sequence[str]
) -> list[RecordedUtterance]:
    """Each sound with each text."""
    words = [text for text in texts if normalise(text, sounds_of[0].language)]
    return [s.model_copy(update={"text": text}) for s in sounds_of for text in words]


def sounds_like(recording: RecordedUtterance) -> list[RecordedUtterance]:
    """Each sound in the place of a recording, for `SOUND_S`."""
    at_rate = recording.model_copy(update={"sample_rate_hz": RATE_HZ})
    return [_with(at_rate, sound(SOUND_S, RATE_HZ)) for sound in SOUNDS.values()]


def _with(recording: RecordedUtterance, waveform: Waveform) -> RecordedUtterance:
    """The same text, with another waveform at the same rate."""
    return recording.model_copy(update={"samples": waveform.astype(np.float32).tobytes()})


def _at_rate_of(recording: RecordedUtterance, other: RecordedUtterance) -> Waveform:
    """The other's waveform at this one's rate."""
    return resample(other.waveform, other.sample_rate_hz, recording.sample_rate_hz)
