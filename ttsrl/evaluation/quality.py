"""What a model of listeners' opinion says of speech; where it fails, that is not a low opinion."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from ttsrl.config.evaluation import QualityConfig
from ttsrl.models.hub import model_digest
from ttsrl.scorers.base import Scorer, SpeechSample
from ttsrl.synthesis.synthesiser import SynthesisedSpeech

logger = logging.getLogger(__name__)

PACKAGES = {"distillmos": "distillmos", "dnsmos": "speechmos"}
"""Type -> package that ships its weights."""


class Quality:
    """A quality model of the evaluation."""

    def __init__(self, config: QualityConfig, device: str, batch_size: int) -> None:
        """Raises BadInput where its package is not installed."""
        self.name = config.type
        self._scorer = _load(config, device, batch_size)

    def of(self, speeches: Sequence[SynthesisedSpeech]) -> list[float | None]:
        """Mean opinion score, 1 to 5, of each; None where there is no speech, or it failed."""
        audible = [k for k, speech in enumerate(speeches) if len(speech.waveform)]
        samples = [
            SpeechSample(speeches[k].waveform, speeches[k].sample_rate_hz, speeches[k].text, "")
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
            return [raw[self.name] for raw in self._scorer.score(samples)]
        except Exception as error:
            if len(samples) > 1:
                return [score for sample in samples for score in self._score([sample])]
            logger.warning("quality model %s failed on an utterance: %s", self.name, error)
            return [None]


def quality_digest(config: QualityConfig) -> str:
    """Of its weights."""
    return model_digest(PACKAGES[config.type])


def _load(config: QualityConfig, device: str, batch_size: int) -> Scorer:
    match config.type:
        case "distillmos":
            from ttsrl.scorers.distill_mos import DistillMosScorer

            return DistillMosScorer(device, batch_size)
        case "dnsmos":
            from ttsrl.scorers.dnsmos import DnsmosScorer

            return DnsmosScorer(device, batch_size)
