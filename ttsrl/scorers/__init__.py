"""Scorers: waveforms -> raw scores. One file a kind of model, chosen by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ttsrl.codecs import Waveform

if TYPE_CHECKING:
    from ttsrl.config import JudgeConfig


@dataclass(frozen=True)
class Raw:
    """What the reward's recogniser makes of one utterance, in natural units."""

    transcript: str
    cer: float
    """Character error rate of the transcript against the text, as a ratio."""
    nll: float
    """Mean negative log-likelihood of the text, nats a token."""


class Recogniser(Protocol):
    """What evaluation asks of a judge."""

    max_duration_s: float
    """Longest waveform it can hear; inf where there is no limit."""

    def transcribe(
        self, waveforms: Sequence[Waveform], sample_rate_hz: int, languages: Sequence[str]
    ) -> list[str]:
        """Greedy transcript of each waveform: the same alone and in any batch."""
        ...


def load_judge(config: JudgeConfig, device: str = "cpu", batch_size: int = 32) -> Recogniser:
    """Load the recogniser that a judge of the evaluation names."""
    match config.type:
        case "ctc":
            from ttsrl.scorers.ctc import CtcRecogniser

            return CtcRecogniser(config.model, device, batch_size)
        case "whisper":
            from ttsrl.config import WhisperConfig
            from ttsrl.scorers.whisper import WhisperScorer

            return WhisperScorer(WhisperConfig(model=config.model), device, batch_size)
