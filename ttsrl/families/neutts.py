"""NeuTTS: a Qwen2.5 (Air) or a Llama (Nano) that answers in NeuCodec's tokens <|speech_N|>.

Prompt format: `_apply_chat_template` and `_to_phones` of neuphonic/neutts. The text is told as
phonemes, so each of the published models speaks one language, and each language is a family.
"""

from __future__ import annotations

import unicodedata
from typing import ClassVar

from ttsrl.errors import BadInput, shorten
from ttsrl.families.conditions import Conditions, PromptConfig
from ttsrl.families.speech_ids import SpeechVocabulary
from ttsrl.families.templated import TemplatedFamily
from ttsrl.records.sampling import Sampling
from ttsrl.text.phonemes import phonemes_of

TEXT_START, TEXT_END = "<|TEXT_PROMPT_START|>", "<|TEXT_PROMPT_END|>"
SPEECH_START, SPEECH_END = "<|SPEECH_GENERATION_START|>", "<|SPEECH_GENERATION_END|>"

CHAT_TEMPLATE = (
    "user: Convert the text to speech:" + TEXT_START + "{{ messages[0]['content'] }}" + TEXT_END
    + "{{ '\\n' }}assistant:" + SPEECH_START
)  # fmt: skip


class NeuTts(TemplatedFamily):
    """neuphonic/neutts-air and neutts-nano, which speak English, and their fine-tunes."""

    title = "NeuTTS"
    chat_template = CHAT_TEMPLATE
    inference = Sampling(temperature=1.0, top_k=50, max_speech_tokens=2048)
    """`_infer_torch` of neutts 1.2, but for its least number of 50 tokens."""
    markers = (TEXT_START, TEXT_END, SPEECH_START)
    stops = (SPEECH_END,)
    codecs = frozenset(["neucodec"])
    of_others = frozenset(["<|NEUTRAL|>"])
    """Of NeuTTS-2E, which reads no phonemes."""
    speech = SpeechVocabulary("<|speech_{}|>")
    own_beginning = True
    text_joint = "\n"
    """The text of a reference and the text to speak are pronounced each on its own."""
    languages = frozenset(["en"])
    pronounces = "en"
    espeak_voice: ClassVar[str] = "en-us"

    @classmethod
    def read(cls, text: str) -> str:
        """The phonemes of each line. Raises BadInput without espeak-ng or its language."""
        return " ".join(cls.phonemes(line) for line in text.split("\n") if line.strip())

    @classmethod
    def phonemes(cls, line: str) -> str:
        """A line as its models read it."""
        return phonemes_of(line, cls.espeak_voice)


class NeuTtsGerman(NeuTts):
    """neuphonic/neutts-nano-german."""

    title = "NeuTTS in German"
    languages = frozenset(["de"])
    pronounces = "de"
    espeak_voice = "de"


class NeuTtsSpanish(NeuTts):
    """neuphonic/neutts-nano-spanish."""

    title = "NeuTTS in Spanish"
    languages = frozenset(["es"])
    pronounces = "es"
    espeak_voice = "es"


class NeuTtsFrench(NeuTts):
    """neuphonic/neutts-nano-french."""

    title = "NeuTTS in French"
    languages = frozenset(["fr"])
    pronounces = "fr"
    espeak_voice = "fr"

    @classmethod
    def phonemes(cls, line: str) -> str:
        """Without the dashes between words that are spoken together, as `FrenchPhonemizer`."""
        return " ".join(super().phonemes(line).replace("-", "").split())


EMOTIONS = ("neutral", "angry", "disgusted", "fearful", "happy", "sad", "surprised")
QUOTES = str.maketrans("‘’“”", "''\"\"")


class NeuTts2E(NeuTts):
    """neuphonic/neutts-2e: English as it is written, with an emotion, in one of four known voices.

    A text's style is its emotion; the token stands between the reference's text and the text.
    """

    title = "NeuTTS-2E"
    chat_template = TEXT_START + "{{ messages[0]['content'] }}" + TEXT_END + SPEECH_START
    markers = (*NeuTts.markers, *(f"<|{emotion.upper()}|>" for emotion in EMOTIONS))
    of_others = frozenset()
    own_beginning = False
    pronounces = None
    styled_request = "{style}{text}"

    @classmethod
    def phonemes(cls, line: str) -> str:
        """None: the characters that its authors normalise texts to."""
        return unicodedata.normalize("NFKC", line.translate(QUOTES))

    @classmethod
    def _request(cls, spoken: str, conditions: Conditions, told: PromptConfig) -> str:
        if told.styled_request or told.request:
            return super()._request(spoken, conditions, told)
        emotion = told.written(conditions.style or EMOTIONS[0])
        if emotion.lower() not in EMOTIONS:
            raise BadInput(
                f"the style {shorten(emotion)} is not an emotion of {cls.title}, which has "
                f"{', '.join(EMOTIONS)}; change it, or set prompt.style_from to null"
            )
        reference, _, text = spoken.rpartition(cls.text_joint)
        return f"{cls.read(reference)}<|{emotion.upper()}|>{cls.read(text)}"
