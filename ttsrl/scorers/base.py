"""What a scorer and a judge can do, and the speech that they are given."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ttsrl.audio.waveform import Waveform


@dataclass(frozen=True)
class Raw:
    """What the reward's recogniser makes of one utterance, in natural units."""

    transcript: str
    cer: float
    """Character error rate of the transcript against the text, as a ratio."""
    wer: float
    """Word error rate, as a ratio; over characters in languages that write no spaces."""
    nll: float
    """Mean negative log-likelihood of the text, nats per token."""
    no_speech: float
    """Probability that no one speaks."""
    languages: Mapping[str, float]
    """Code -> probability of each language, which sum to 1; empty if it is English-only."""

    @property
    def values(self) -> dict[str, float]:
        """Component type -> raw value, and what is logged beside them."""
        return {"cer": self.cer, "wer": self.wer, "nll": self.nll, "no_speech": self.no_speech}


@dataclass(frozen=True)
class SpeechSample:
    """One utterance as a scorer hears it, with all that it may be compared to."""

    waveform: Waveform
    sample_rate_hz: int
    text: str
    language: str
    style: str | None = None
    speaker: str | None = None
    label: str | None = None
    reference: bytes | None = None
    """Contents of the audio file in whose voice it is to be spoken."""

    @property
    def duration_s(self) -> float:
        return len(self.waveform) / self.sample_rate_hz


class Scorer(Protocol):
    """A measurement beside Whisper's."""

    spec: Mapping[str, Any]
    """What decides its values beside the components that name it: digests, versions (as JSON)."""
    example: Mapping[str, Any]
    """Fields of `SpeechSample` without which it measures nothing, for its self-test."""

    def score(self, speeches: Sequence[SpeechSample]) -> list[dict[str, float]]:
        """Component type -> raw value of each, in natural units; the same keys for all.

        Alone and in any batch the values agree to 1e-4 of their size. Raises BadInput for what
        cannot be measured, such as a voice that is not known.
        """
        ...


class Recogniser(Protocol):
    """What evaluation asks of a judge."""

    max_duration_s: float
    """Longest waveform it can hear; inf where there is no limit."""

    @property
    def languages(self) -> Collection[str] | None:
        """ISO 639-1 codes that it hears; None where the model itself decides."""
        ...

    def transcribe(
        self, waveforms: Sequence[Waveform], sample_rate_hz: int, languages: Sequence[str]
    ) -> list[str]:
        """Greedy transcript of each waveform: the same alone and in any batch."""
        ...
