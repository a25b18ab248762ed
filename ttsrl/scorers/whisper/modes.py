"""What Whisper is asked and how its transcript is compared: ours, and the two public recipes'.

The NLL is the mean cross-entropy of a target under teacher forcing, nats per token, full softmax,
end token included; the recipes differ in the target and in what comes before it. Three deviations
from both recipes: an empty transcript is wholly wrong, where channel-io gives it CER 0 and so
rewards silence; decoding is greedy, without time stamps, and never repeated at a higher
temperature; audio longer than the window is an error, where they cut it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, Protocol

import jiwer

from ttsrl.errors import BadInput
from ttsrl.scorers.whisper.spelling import SPELLING_VERSION, bare, respelled
from ttsrl.scorers.whisper.tokens import WhisperTokens
from ttsrl.text.normalise import cer, wer


class Mode(Protocol):
    """One way to measure."""

    spec: Mapping[str, int]
    """Versions of its rules, for the specification."""

    def prompt(self, language: str) -> list[int] | None:
        """What the transcript follows; None: the prompt of the language that Whisper detects."""
        ...

    def target(self, text: str, language: str) -> tuple[list[int], list[int] | None]:
        """Tokens whose likelihood is asked for, and what they follow if not the prompt."""
        ...

    def respell(self, text: str, language: str) -> Callable[[list[int]], list[int]] | None:
        """The target for a transcript that became known; None: it is the same for each."""
        ...

    def count(self, text: str, language: str) -> int:
        """Tokens that the NLL is divided by: the same for every utterance of a text."""
        ...

    def error_rates(self, text: str, transcript: str, language: str) -> tuple[float, float]:
        """Character and word error rate of a transcript."""
        ...


class Correct:
    """The text as Whisper writes it, after start, language, transcribe, no time stamps; error rates
    of normalised texts. (English-only models know neither language nor task.)

    The text's words are spelled as in the transcript (`ttsrl.scorers.whisper.spelling`). Their NLL
    is divided by the tokens of the text in lower case without punctuation, so that neither the
    text's spelling nor punctuation that Whisper adds changes what it is divided by.
    """

    spec: Mapping[str, int] = {"whisper_spelling": SPELLING_VERSION}

    def __init__(self, tokens: WhisperTokens) -> None:
        self.tokens = tokens

    def prompt(self, language: str) -> list[int] | None:
        return self.tokens.prompt(language)

    def target(self, text: str, language: str) -> tuple[list[int], list[int] | None]:
        return self.tokens.target(text, language), None

    def respell(self, text: str, language: str) -> Callable[[list[int]], list[int]] | None:
        def target(written: list[int]) -> list[int]:
            transcript = self.tokens.decode(written)
            return self._fitting(respelled(text, transcript, language), text, language)

        return target

    def count(self, text: str, language: str) -> int:
        return len(self._fitting(bare(text, language), text, language))

    def _fitting(self, spelled: str, text: str, language: str) -> list[int]:
        """Target of another spelling, if the decoder holds that one too."""
        try:
            return self.tokens.target(spelled, language)
        except BadInput:
            return self.tokens.target(text, language)

    def error_rates(self, text: str, transcript: str, language: str) -> tuple[float, float]:
        return cer(text, transcript, language), wer(text, transcript, language)


class ChannelIo:
    """channel-io/ch-tts-llasa-rl-grpo: tts/whisper_server.py, verl/utils/reward_score/tts_cer.py.

    The raw text right after the start token; transcript in the language that Whisper detects; error
    rates of the raw text and the stripped transcript.
    """

    spec: Mapping[str, int] = {}

    def __init__(self, tokens: WhisperTokens) -> None:
        self.tokens = tokens

    def prompt(self, language: str) -> list[int] | None:
        return None if self.tokens.multilingual else self.tokens.prompt(language)

    def target(self, text: str, language: str) -> tuple[list[int], list[int] | None]:
        return self.tokens.raw_target(text), [self.tokens.start]

    def respell(self, text: str, language: str) -> Callable[[list[int]], list[int]] | None:
        return None

    def count(self, text: str, language: str) -> int:
        return len(self.tokens.raw_target(text))

    def error_rates(self, text: str, transcript: str, language: str) -> tuple[float, float]:
        return float(jiwer.cer(text, transcript)), float(jiwer.wer(text, transcript))


class DeepUnlearning:
    """Deep-unlearning/Llasa-GRPO, reward_whisper.py: the loss that transformers' Whisper gives.

    Its labels are all that the processor makes of the normalised text, control tokens included, and
    the model puts another start token before them. Transcript in the text's language (the seed says
    English, always). Both texts go through Whisper's BasicTextNormalizer; where nothing is left of
    the text, silence is right and everything else is wrong.
    """

    spec: Mapping[str, int] = {}

    def __init__(self, tokens: WhisperTokens, prompt: list[int]) -> None:
        """`prompt`: what the processor puts before a text."""
        from transformers.models.whisper.english_normalizer import BasicTextNormalizer

        self.tokens = tokens
        self.before_text = prompt
        self.normalise = BasicTextNormalizer()

    def prompt(self, language: str) -> list[int] | None:
        return self.tokens.prompt(language)

    def target(self, text: str, language: str) -> tuple[list[int], list[int] | None]:
        return self.tokens.labels(self.before_text, self.normalise(text)), [self.tokens.start]

    def respell(self, text: str, language: str) -> Callable[[list[int]], list[int]] | None:
        return None

    def count(self, text: str, language: str) -> int:
        return len(self.tokens.labels(self.before_text, self.normalise(text)))

    def error_rates(self, text: str, transcript: str, language: str) -> tuple[float, float]:
        wanted, heard = self.normalise(text).strip(), self.normalise(transcript).strip()
        if not wanted:
            return (1.0, 1.0) if heard else (0.0, 0.0)
        return float(jiwer.cer(wanted, heard)), float(jiwer.wer(wanted, heard))


def mode_of(
    name: Literal["correct", "channel-io", "deep-unlearning"], tokens: WhisperTokens
) -> Mode:
    """The mode that a configuration names."""
    match name:
        case "correct":
            return Correct(tokens)
        case "channel-io":
            return ChannelIo(tokens)
        case "deep-unlearning":
            return DeepUnlearning(tokens, tokens.processor_prompt())
