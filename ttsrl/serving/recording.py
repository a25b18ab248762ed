"""Speech that the client decoded itself: measured as an utterance is, from the waveform on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import Field

from ttsrl.audio import io as audio_io
from ttsrl.audio.waveform import Waveform
from ttsrl.errors import BadInput
from ttsrl.wire import Utterance

SHORTEST_S = 0.01
LONGEST_S = 600.0
"""Any recogniser's window is shorter; nothing beyond it is decoded."""


class RecordedUtterance(Utterance):
    """An utterance that comes as samples, not as speech tokens."""

    speech_tokens: list[int] = Field(default=[], max_length=0)
    samples: bytes
    """Mono float32 in the machine's byte order."""
    sample_rate_hz: int

    @property
    def waveform(self) -> Waveform:
        """[T]"""
        return np.frombuffer(self.samples, dtype=np.float32)


def read_recording(
    audio: Path | bytes, text: str, language: str, segment: audio_io.Segment = audio_io.WHOLE
) -> RecordedUtterance:
    """An audio file's contents, channels averaged. Raises BadInput, pydantic's for `text`."""
    samples, rate_hz = audio_io.read_recording(audio, segment, LONGEST_S)
    return recorded(samples, rate_hz, text=text, language=language)


def recorded(samples: Waveform, sample_rate_hz: int, **fields: str | None) -> RecordedUtterance:
    """Samples [T] and what an utterance has beside its speech. Raises BadInput for a length that is
    not measured, pydantic's ValidationError for `fields`."""
    duration_s = len(samples) / sample_rate_hz
    if duration_s < SHORTEST_S or len(samples) < audio_io.SHORTEST_SAMPLES:
        raise BadInput(f"the audio has {duration_s:.3f} s; give at least {SHORTEST_S:g} s")
    if duration_s > LONGEST_S:
        raise BadInput(f"the audio has {duration_s:.1f} s; give at most {LONGEST_S:g} s")
    return RecordedUtterance.model_validate(
        fields | {"samples": samples.tobytes(), "sample_rate_hz": sample_rate_hz}
    )
