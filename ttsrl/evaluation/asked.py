"""What a suite's texts carry, as the synthesiser takes it: conditions, and voices by recordings."""

from __future__ import annotations

from collections.abc import Sequence

from ttsrl.audio.voice_prompt import read_voice
from ttsrl.codecs.base import Codec
from ttsrl.config.schema import RunConfig
from ttsrl.evaluation.suites import Suite, SuiteText
from ttsrl.families.conditions import Conditions
from ttsrl.families.registry import family_class
from ttsrl.synthesis.synthesiser import Synthesiser
from ttsrl.synthesis.voice import VoicePrompt


def synthesiser_of(run: RunConfig, model: str, device: str) -> Synthesiser:
    """A model as the run's texts are spoken with it. Raises BadInput."""
    return Synthesiser(model, run.codec, run.family, device, run.voice, run.prompt)


def conditions_of(run: RunConfig, text: SuiteText) -> Conditions:
    """What the policy is told of a text, its recording aside."""
    return run.prompt.conditions(style=text.style, label=text.label, language=text.language)


def told_of(run: RunConfig, text: SuiteText) -> list[str]:
    """How the prompt of a text differs from that of its words alone, its recording aside."""
    family = family_class(run.family)
    plain = family.messages(text.text)
    told = family.messages(text.text, conditions_of(run, text), run.prompt)
    return [] if told == plain else [message["content"] for message in told]


class Voices:
    """The recordings of a suite as speech tokens, each encoded once."""

    def __init__(self, suite: Suite, synthesiser: Synthesiser) -> None:
        self._folder = suite.folder
        self._synthesiser = synthesiser
        self._encoded: dict[tuple[str, str], VoicePrompt] = {}
        self._codecs: dict[str, Codec | None] = {}

    def of(self, texts: Sequence[SuiteText]) -> list[VoicePrompt | None]:
        """The voice that each text is to be spoken in. Raises BadInput."""
        return [self._of(text) for text in texts]

    def _of(self, text: SuiteText) -> VoicePrompt | None:
        if text.reference is not None:
            codec = self._codec(text) if text.voice else None
            return VoicePrompt(text.reference, codec)
        if (voice := text.voice) is None:
            return None
        key = voice.sha256, voice.text
        if key not in self._encoded:
            recording = read_voice(self._folder / voice.audio)
            self._encoded[key] = self._synthesiser.voice(voice.text, *recording)
        return self._encoded[key]

    def _codec(self, text: SuiteText) -> Codec | None:
        """The codec in the voice of a text's recording, for one that takes a voice."""
        assert text.voice is not None
        if (digest := text.voice.sha256) not in self._codecs:
            recording = read_voice(self._folder / text.voice.audio)
            self._codecs[digest] = self._synthesiser.codec_in(*recording)
        return self._codecs[digest]
