"""What an audit asks a reward about: recordings spoiled and combined, sounds with made-up texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ttsrl.audio.degradations import DEGRADATIONS
from ttsrl.audio.io import resample
from ttsrl.audio.sounds import SOUNDS
from ttsrl.audio.waveform import Waveform
from ttsrl.scorers.whisper.scorer import WhisperScorer
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
    clean: list[float]
    """The reward that each has to stay below."""


def cases(
    recordings: Sequence[RecordedUtterance], clean: Sequence[float], whisper: WhisperScorer | None
) -> list[AuditCase]:
    """Every way. `clean`: the reward of each recording as it is."""
    rewards = list(clean)
    spoiled = [
        AuditCase(
            name,
            [with_samples(r, spoil(r.waveform, r.sample_rate_hz)) for r in recordings],
            rewards,
        )
        for name, spoil in DEGRADATIONS.items()
    ]
    others = [*recordings[1:], recordings[0]]
    pairs = list(zip(recordings, others, strict=True))
    another = [r.model_copy(update={"text": other.text}) for r, other in pairs]
    leaking = [
        with_samples(r, np.concatenate([at_rate_of(r, other), r.waveform])) for r, other in pairs
    ]
    sounds = made_up(recordings[0].language, whisper)
    return [
        *spoiled,
        AuditCase("another_text", another, rewards),
        AuditCase("prompt_leak", leaking, rewards),
        *two_languages(recordings, rewards),
        AuditCase("sounds_as_words", sounds, [min(rewards)] * len(sounds)),
    ]


def two_languages(
    recordings: Sequence[RecordedUtterance], clean: Sequence[float]
) -> list[AuditCase]:
    """First half, and the second half of a recording in another language; none without one."""
    mixed: list[RecordedUtterance] = []
    rewards: list[float] = []
    for r, reward in zip(recordings, clean, strict=True):
        for other in [o for o in recordings if o.language != r.language][:1]:
            foreign = at_rate_of(r, other)
            halves = r.waveform[: len(r.waveform) // 2], foreign[len(foreign) // 2 :]
            mixed.append(with_samples(r, np.concatenate(halves)))
            rewards.append(reward)
    return [AuditCase("two_languages", mixed, rewards)] if mixed else []


def made_up(language: str, whisper: WhisperScorer | None) -> list[RecordedUtterance]:
    """Each sound with the words that recognisers are known to write for it, and with those that
    this reward's Whisper writes."""
    utterances: list[RecordedUtterance] = []
    for sound in SOUNDS.values():
        waveform = sound(SOUND_S, RATE_HZ)
        heard = whisper.transcribe([waveform], RATE_HZ, [language]) if whisper else []
        texts = dict.fromkeys([*HALLUCINATED, *heard])
        utterances += [
            RecordedUtterance(
                text=text, language=language, samples=waveform.tobytes(), sample_rate_hz=RATE_HZ
            )
            for text in texts
            if normalise(text, language)
        ]
    return utterances


def with_samples(recording: RecordedUtterance, waveform: Waveform) -> RecordedUtterance:
    """The same text, with another waveform at the same rate."""
    return recording.model_copy(update={"samples": waveform.astype(np.float32).tobytes()})


def at_rate_of(recording: RecordedUtterance, other: RecordedUtterance) -> Waveform:
    """The other's waveform at this one's rate."""
    return resample(other.waveform, other.sample_rate_hz, recording.sample_rate_hz)
