"""Judges of styles listen to speech; where one fails, that says nothing about the speech."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence

from ttsrl.config.schema import RunConfig
from ttsrl.config.style_judges import (
    ClapStyleJudge,
    ClassifierStyleJudge,
    MeasuredStyleJudge,
    StyleJudgeConfig,
)
from ttsrl.data.asked_styles import AskedStyles, asked_styles, check_style_judges
from ttsrl.evaluation.suites import Suite, SuiteText
from ttsrl.models.labels import labels_of
from ttsrl.records.evaluation import StyleVerdict
from ttsrl.scorers.base import Scorer, SpeechSample
from ttsrl.synthesis.synthesiser import SynthesisedSpeech

logger = logging.getLogger(__name__)


def style_listeners(run: RunConfig, suite: Suite, device: str) -> list[StyleListener]:
    """The judges of styles for a suite; none where none of its texts has a style.

    Raises BadInput for a style that one of them cannot hear.
    """
    asked = asked_styles(run, suite.texts)
    if asked is None:
        return []
    check_style_judges(run.eval.styles, asked)
    return [_listener(config, asked, device, run.eval.batch_size) for config in run.eval.styles]


class StyleListener(ABC):
    """One judge of styles."""

    def __init__(self, name: str) -> None:
        self.name = name

    def of(
        self,
        speeches: Sequence[SynthesisedSpeech],
        texts: Sequence[SuiteText],
        asked: Sequence[str | None],
    ) -> list[StyleVerdict | None]:
        """A verdict on each utterance of which a style was asked; silence is in no style."""
        found = [StyleVerdict(as_asked=False) if style else None for style in asked]
        heard = [k for k, style in enumerate(asked) if style and len(speeches[k].waveform)]
        samples = [
            SpeechSample(
                speeches[k].waveform,
                speeches[k].sample_rate_hz,
                speeches[k].text,
                texts[k].language,
                style=asked[k],
                label=texts[k].label,
            )
            for k in heard
        ]
        for k, verdict in zip(heard, self._verdicts(samples), strict=True):
            found[k] = verdict
        return found

    def _verdicts(self, samples: Sequence[SpeechSample]) -> list[StyleVerdict]:
        """A batch that fails is asked again one by one: it must not lose the evaluation."""
        if not samples:
            return []
        try:
            heard = self._hear(samples)
        except Exception as error:
            if len(samples) > 1:
                return [verdict for sample in samples for verdict in self._verdicts([sample])]
            logger.warning("judge of styles %s failed on an utterance: %s", self.name, error)
            return [StyleVerdict()]
        return [
            StyleVerdict(heard=style, as_asked=style == self._wanted(sample))
            for style, sample in zip(heard, samples, strict=True)
        ]

    @abstractmethod
    def _hear(self, samples: Sequence[SpeechSample]) -> list[str | None]:
        """The style of each utterance, as this judge names it."""

    def _wanted(self, sample: SpeechSample) -> str | None:
        """What it would call the style that was asked for."""
        return sample.style


class ClassifyingListener(StyleListener):
    """See `ClassifierStyleJudge`."""

    def __init__(self, config: ClassifierStyleJudge, device: str, batch: int) -> None:
        from ttsrl.reward.components import Classifier
        from ttsrl.scorers.classifier import ClassifierScorer

        super().__init__(config.name)
        self._labels = labels_of(config.model)
        self._names = {index: name for name, index in self._labels.index_of.items()}
        self._scorer = ClassifierScorer(Classifier(model=config.model), device, batch)

    def _hear(self, samples: Sequence[SpeechSample]) -> list[str | None]:
        return [*self._scorer.likeliest(samples)]

    def _wanted(self, sample: SpeechSample) -> str | None:
        return self._names[self._labels.index(sample.label or sample.style or "")]


class ClapListener(StyleListener):
    """See `ClapStyleJudge`."""

    def __init__(self, config: ClapStyleJudge, asked: AskedStyles, device: str, batch: int) -> None:
        from ttsrl.reward.components import Style
        from ttsrl.scorers.style import StyleScorer

        super().__init__(config.name)
        self._styles = asked.styles
        self._scorer = StyleScorer(Style(model=config.model), device, batch)

    def _hear(self, samples: Sequence[SpeechSample]) -> list[str | None]:
        return [*self._scorer.nearest(samples, self._styles)]


class MeasuringListener(StyleListener):
    """See `MeasuredStyleJudge`."""

    def __init__(self, config: MeasuredStyleJudge) -> None:
        from ttsrl.scorers.prosody import ProsodyScorer
        from ttsrl.scorers.rate import RateScorer

        super().__init__(config.name)
        self._config = config
        self._prosody = None if config.measure == "rate" else ProsodyScorer()
        self._scorer: Scorer = self._prosody or RateScorer()

    def _hear(self, samples: Sequence[SpeechSample]) -> list[str | None]:
        return [
            None if value is None else self._config.style_of(value)
            for value in self._values(samples)
        ]

    def _values(self, samples: Sequence[SpeechSample]) -> list[float | None]:
        if self._prosody is not None and self._config.measure == "pitch":
            return self._prosody.pitch_hz(samples)
        return [raw[self._config.measure] for raw in self._scorer.score(samples)]


def _listener(
    config: StyleJudgeConfig, asked: AskedStyles, device: str, batch: int
) -> StyleListener:
    match config:
        case ClassifierStyleJudge():
            return ClassifyingListener(config, device, batch)
        case ClapStyleJudge():
            return ClapListener(config, asked, device, batch)
        case MeasuredStyleJudge():
            return MeasuringListener(config)
