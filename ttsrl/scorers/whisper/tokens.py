"""Whisper's tokens: what its decoder is prompted with, what it should write, what it may write."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ttsrl.errors import BadInput
from ttsrl.text.languages import LANGUAGES, UNSPACED, check_language

if TYPE_CHECKING:
    from transformers import GenerationConfig, PreTrainedTokenizerBase

MAX_NEW_TOKENS = 224
"""Longest transcript, as in OpenAI's Whisper; a window of speech has fewer tokens, loops end."""

LONGEST_PROMPT = 4
"""Tokens; a target of another mode is read after the transcript's own prompt too."""


class WhisperTokens:
    """Ids of one Whisper, multilingual or English-only."""

    def __init__(self, folder: Path, max_positions: int) -> None:
        from transformers import AutoTokenizer, GenerationConfig

        self.folder = folder
        self.max_positions = max_positions
        self.tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder)
        # Asked for once: of a full-size model it is a new dictionary of 50 000 entries each time.
        self.vocabulary: dict[str, int] = self.tokenizer.get_vocab()
        generation = GenerationConfig.from_pretrained(folder)
        self.end = self._id("<|endoftext|>")
        self.start = self._id("<|startoftranscript|>")
        self.multilingual = bool(getattr(generation, "is_multilingual", False))
        # Whisper's vocabulary is text, <|endoftext|>, then control tokens and time stamps.
        self.never = sorted(
            {*_ids(generation, "suppress_tokens"), *range(self.end + 1, len(self.tokenizer))}
        )
        """Never written: the model's suppressed tokens, control tokens, time stamps."""
        self.no_speech = self._one_of("<|nospeech|>", "<|nocaptions|>")
        """Says that nobody speaks; models before large-v3 call it no captions."""
        self.never_first = _ids(generation, "begin_suppress_tokens")
        """Not written first: blank and, in most models, the end token."""

    @cached_property
    def languages(self) -> dict[str, int]:
        """Code -> id of every language that the model tells apart: none if it is English-only,
        although its vocabulary has their tokens."""
        ids = {code: self.vocabulary.get(f"<|{code}|>") for code in LANGUAGES}
        return {c: i for c, i in ids.items() if i is not None} if self.multilingual else {}

    def prompt(self, language: str) -> list[int]:
        """What the decoder is given before the transcript: transcribe, without time stamps."""
        check_language(language)
        if not self.multilingual:
            if language != "en":
                raise BadInput(
                    f"language {language!r}, but the Whisper at {self.folder} is English-only; use "
                    "a multilingual one"
                )
            return [self.start, self._id("<|notimestamps|>")]
        return self.prompt_of(self._id(f"<|{language}|>"))

    def prompt_of(self, language_id: int) -> list[int]:
        """As `prompt`, with the language's token id."""
        task = [self._id("<|transcribe|>"), self._id("<|notimestamps|>")]
        return [self.start, language_id, *task]

    def max_new(self, prompt_length: int) -> int:
        """Most tokens that a transcript may have, the end token not counted."""
        return min(MAX_NEW_TOKENS, self.max_positions - prompt_length)

    def target(self, text: str, language: str) -> list[int]:
        """Text and end token as Whisper writes them: after a space where words have spaces."""
        text = text.strip()
        return self._target(
            text if language in UNSPACED else f" {text}", len(self.prompt(language))
        )

    def raw_target(self, text: str) -> list[int]:
        """Raw text and end token."""
        return self._target(text, LONGEST_PROMPT)

    def labels(self, text: str) -> list[int]:
        """What transformers' processor makes of a text: control tokens, text, end token."""
        ids: list[int] = self.tokenizer(text, verbose=False)["input_ids"]
        self._check_length(text, len(ids) - 1, LONGEST_PROMPT)
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Transcript without control tokens and outer spaces."""
        text = self.tokenizer.decode(
            [i for i in ids if i < self.end], clean_up_tokenization_spaces=False
        )
        return str(text).strip()

    def _target(self, text: str, prompt_length: int) -> list[int]:
        ids = self.tokenizer.encode(text, add_special_tokens=False, verbose=False)
        if any(i >= self.end for i in ids):
            raise BadInput(f"text {text!r} spells a control token of Whisper; remove it")
        self._check_length(text, len(ids), prompt_length)
        return [*ids, self.end]

    def _check_length(self, text: str, length: int, prompt_length: int) -> None:
        if prompt_length + length > self.max_positions:
            raise BadInput(
                f"text has {length} Whisper tokens, more than the "
                f"{self.max_positions - prompt_length} that its decoder holds: {text[:40]!r}...; "
                "split it"
            )

    def _id(self, token: str) -> int:
        return self._one_of(token)

    def _one_of(self, *names: str) -> int:
        for token in names:
            if token in self.vocabulary:
                return self.vocabulary[token]
        raise BadInput(f"the Whisper at {self.folder} has no token {names[0]}; use another model")


def _ids(generation: GenerationConfig, field: str) -> list[int]:
    value: Any = getattr(generation, field, None)
    return sorted(value or [])
