"""Rate: characters of the normalised text per second of speech, pauses included."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ttsrl.scorers.base import SpeechSample
from ttsrl.text.normalise import normalise


class RateScorer:
    """Needs no model: the text is known, and so is the duration."""

    spec: Mapping[str, Any] = {"version": 1}
    example: Mapping[str, Any] = {}

    def score(self, speeches: Sequence[SpeechSample]) -> list[dict[str, float]]:
        """`rate`, characters per second."""
        return [{"rate": len(normalise(s.text, s.language)) / s.duration_s} for s in speeches]
