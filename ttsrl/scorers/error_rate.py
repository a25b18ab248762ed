"""An error rate by a recogniser other than Whisper, as a component of the reward."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ttsrl.scorers.base import Recogniser, SpeechSample


class ErrorRateScorer:
    """What `error_rate` makes of each transcript, under the name of its component."""

    def __init__(
        self,
        name: str,
        recogniser: Recogniser,
        error_rate: Callable[[SpeechSample, str], float],
        spec: Mapping[str, Any],
        example: Mapping[str, Any],
    ) -> None:
        self.spec = spec
        self.example = example
        self._name = name
        self._recogniser = recogniser
        self._error_rate = error_rate

    def score(self, speeches: Sequence[SpeechSample]) -> list[dict[str, float]]:
        """Raises BadInput for a text that the error rate is not defined for."""
        transcripts = self._recogniser.transcribe(
            [s.waveform for s in speeches],
            speeches[0].sample_rate_hz,
            [s.language for s in speeches],
        )
        return [
            {self._name: self._error_rate(speech, transcript)}
            for speech, transcript in zip(speeches, transcripts, strict=True)
        ]
