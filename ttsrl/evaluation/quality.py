"""What a model of listeners' opinion says of speech; where it fails, that is not a low opinion."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence

from ttsrl.config.evaluation import AnyQualityConfig, HttpQualityConfig, LlmQualityConfig
from ttsrl.models.hub import model_digest
from ttsrl.scorers.base import Scorer, SpeechSample
from ttsrl.scorers.remote import RemoteScorer
from ttsrl.synthesis.synthesiser import SynthesisedSpeech
from ttsrl.wire import Failed

logger = logging.getLogger(__name__)

PACKAGES = {"distillmos": "distillmos", "dnsmos": "speechmos"}
"""Type -> package that ships its weights."""


class Quality:
    """A quality model of the evaluation."""

    def __init__(self, config: AnyQualityConfig, device: str, batch_size: int) -> None:
        """Raises BadInput where its package is not installed."""
        self.name = config.type
        self._scorer = _load(config, device, batch_size)

    def of(
        self, speeches: Sequence[SynthesisedSpeech], languages: Sequence[str]
    ) -> list[float | None]:
        """Opinion of each, 1 to 5 or on an audio-LLM's scale; None where there is no speech, or it
        failed."""
        audible = [k for k, speech in enumerate(speeches) if len(speech.waveform)]
        samples = [
            SpeechSample(
                speeches[k].waveform, speeches[k].sample_rate_hz, speeches[k].text, languages[k]
            )
            for k in audible
        ]
        scores: list[float | None] = [None] * len(speeches)
        for k, score in zip(audible, self._score(samples), strict=True):
            scores[k] = score
        return scores

    def _score(self, samples: Sequence[SpeechSample]) -> list[float | None]:
        """A batch that fails is asked again one by one: it must not lose the evaluation."""
        if not samples:
            return []
        try:
            return [self._value(raw) for raw in self._scorer.score(samples)]
        except Exception as error:
            if len(samples) > 1:
                return [score for sample in samples for score in self._score([sample])]
            logger.warning("quality model %s failed on an utterance: %s", self.name, error)
            return [None]

    def _value(self, raw: dict[str, float] | Failed) -> float | None:
        if isinstance(raw, Failed):
            logger.warning("quality model %s failed on an utterance: %s", self.name, raw.detail)
            return None
        return raw[self.name]

    def told_usage(self) -> str:
        """What asking an audio-LLM has used, in words; empty for a model of this machine."""
        if not isinstance(self._scorer, RemoteScorer):
            return ""
        usage = self._scorer.take_usage()
        if self.name == "http":
            return f"http: {usage.requests} answers"
        return (
            f"{self.name}: {usage.requests} answers for {usage.input_tokens} + "
            f"{usage.output_tokens} tokens, cost {usage.cost:.4f}"
        )


def quality_digest(config: AnyQualityConfig) -> str:
    """Of its weights; of an audio-LLM of what it is asked, of another program of its name."""
    if isinstance(config, LlmQualityConfig):
        asked = config.model_dump(include={"served_model", "prompt", "low", "high"})
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
    if isinstance(config, HttpQualityConfig):
        return hashlib.sha256(config.served_model.encode()).hexdigest()
    return model_digest(PACKAGES[config.type])


def _load(config: AnyQualityConfig, device: str, batch_size: int) -> Scorer | RemoteScorer:
    if isinstance(config, LlmQualityConfig):
        from ttsrl.scorers.audio_llm import AudioLlmScorer

        return AudioLlmScorer(config)
    if isinstance(config, HttpQualityConfig):
        from ttsrl.scorers.audio_scorer import AudioHttpScorer

        return AudioHttpScorer(config)
    match config.type:
        case "distillmos":
            from ttsrl.scorers.distill_mos import DistillMosScorer

            return DistillMosScorer(device, batch_size)
        case "dnsmos":
            from ttsrl.scorers.dnsmos import DnsmosScorer

            return DnsmosScorer(device, batch_size)
