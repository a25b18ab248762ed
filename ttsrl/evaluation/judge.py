"""A judge listens to speech and says what it heard; where it fails, that is not an error rate."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Literal

from ttsrl.audio.waveform import Waveform
from ttsrl.config.evaluation import JudgeConfig
from ttsrl.errors import BadInput, shorten
from ttsrl.evaluation.suites import SuiteText
from ttsrl.records.evaluation import Verdict
from ttsrl.scorers.registry import load_judge
from ttsrl.synthesis.synthesiser import SynthesisedSpeech
from ttsrl.text.benchmark_wer import benchmark_wer
from ttsrl.text.normalise import cer, wer

logger = logging.getLogger(__name__)


class Judge:
    """A recogniser of the evaluation under its name in the report."""

    def __init__(
        self,
        config: JudgeConfig,
        device: str,
        batch_size: int,
        wer_of: Literal["ttsrl", "benchmark"] = "ttsrl",
    ) -> None:
        self.name = config.name
        self.wer = benchmark_wer if wer_of == "benchmark" else wer
        self.recogniser = load_judge(config, device, batch_size)

    def check_languages(self, texts: Iterable[SuiteText]) -> None:
        """Raises BadInput for a text in a language that the judge cannot hear."""
        known = self.recogniser.languages
        for text in texts:
            if known is not None and text.language not in known:
                raise BadInput(
                    f"judge {self.name!r} hears {', '.join(sorted(known))} alone, and the text "
                    f"{shorten(text.text)} is in {text.language!r}; give this suite another judge"
                )

    def listen(
        self, speeches: Sequence[SynthesisedSpeech], languages: Sequence[str]
    ) -> list[Verdict]:
        """One verdict an utterance, in order.

        Where there is no speech the transcript is empty and both rates are 1. Raises BadInput for a
        language or a text that cannot be measured at all.
        """
        verdicts = [Verdict(transcript="", cer=1.0, wer=1.0)] * len(speeches)
        audible = [i for i, speech in enumerate(speeches) if len(speech.waveform)]
        heard = [self._hearable(speeches[i]) for i in audible]
        transcripts = self._transcribe(
            heard, [speeches[i].sample_rate_hz for i in audible], [languages[i] for i in audible]
        )
        for i, waveform, transcript in zip(audible, heard, transcripts, strict=True):
            cut = len(waveform) < len(speeches[i].waveform)
            if isinstance(transcript, Exception):
                verdicts[i] = Verdict(cut=cut, error=f"{type(transcript).__name__}: {transcript}")
            else:
                said = speeches[i].text, transcript, languages[i]
                verdicts[i] = Verdict(
                    transcript=transcript, cer=cer(*said), wer=self.wer(*said), cut=cut
                )
        return verdicts

    def _hearable(self, speech: SynthesisedSpeech) -> Waveform:
        limit_s = self.recogniser.max_duration_s
        if speech.duration_s <= limit_s:
            return speech.waveform
        return speech.waveform[: int(limit_s * speech.sample_rate_hz)]

    def _transcribe(
        self, waveforms: Sequence[Waveform], rates_hz: Sequence[int], languages: Sequence[str]
    ) -> list[str | Exception]:
        """Transcripts, or the error: a batch that fails is asked again one by one."""
        if not waveforms:
            return []
        try:
            return list(self.recogniser.transcribe(waveforms, rates_hz[0], languages))
        except BadInput:
            raise
        except Exception as error:
            # Any failure of the recogniser, out of memory included, must not lose the evaluation.
            if len(waveforms) == 1:
                logger.warning("judge %s failed on an utterance: %s", self.name, error)
                return [error]
            return [
                self._transcribe([waveform], [rate], [language])[0]
                for waveform, rate, language in zip(waveforms, rates_hz, languages, strict=True)
            ]
