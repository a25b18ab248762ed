"""Whisper's tokens: what its decoder is prompted with, what it should write, what it may write."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ttsrl.errors import BadInput, reason_of, shorten
from ttsrl.scorers.whisper.byte_pairs import text_encoding
from ttsrl.scorers.whisper.controls import (
    check_controls,
    generation_config,
    is_multilingual,
    token_ids,
)
from ttsrl.scorers.whisper.vocabulary import CONTROL, read_vocabulary, refuse
from ttsrl.text.languages import LANGUAGES, UNSPACED, check_language

if TYPE_CHECKING:
    from transformers import WhisperConfig

MAX_NEW_TOKENS = 224
"""Longest transcript, as in OpenAI's Whisper; a window of speech has fewer tokens, loops end."""

LONGEST_PROMPT = 4
"""Tokens; a target of another mode is read after the transcript's own prompt too."""

TIME_STAMP = re.compile(r"<\|\d+\.\d\d\|>")


class WhisperTokens:
    """Ids of one Whisper, multilingual or English-only.

    Those of a text are openai-whisper's, whatever merges the folder lists; a folder that cannot
    give them raises BadInput.
    """

    def __init__(self, folder: Path, config: WhisperConfig) -> None:
        self.folder = folder
        self.max_positions = int(config.max_target_positions)
        self.size = int(config.vocab_size)
        found = read_vocabulary(folder)
        self.vocabulary = found.ids
        self.end = self._id("<|endoftext|>")
        self.start = self._id("<|startoftranscript|>")
        added = {word: n for word in found.words if (n := found.ids[word]) > self.end}
        self.encoding = text_encoding(self.vocabulary, self.end, added, folder)
        self._added = frozenset(added.values())
        generation = generation_config(folder)
        check_controls(self.vocabulary, generation, config, folder)
        self.multilingual = is_multilingual(generation, self.end, folder)
        suppressed = token_ids(generation, "suppress_tokens", self.size, folder)
        # Whisper's vocabulary is text, <|endoftext|>, then control tokens and time stamps.
        controls = set(range(self.end + 1, self.size)) - self._added
        self.never = sorted({*suppressed, *controls})
        """Never written: the model's suppressed tokens, control tokens, time stamps."""
        self.never_first = token_ids(generation, "begin_suppress_tokens", self.size, folder)
        """Not written first: blank and, in most models, the end token."""
        self.no_speech = self._id("<|nospeech|>")
        """Says that nobody speaks."""

    @cached_property
    def languages(self) -> dict[str, int]:
        """Code -> id of every language that the model tells apart: none if it is English-only,
        although its vocabulary has their tokens."""
        ids = {code: self.vocabulary.get(f"<|{code}|>") for code in LANGUAGES}
        return {c: i for c, i in ids.items() if i is not None} if self.multilingual else {}

    def in_order(self) -> list[str]:
        """A token for every id: older files leave the time stamps without a name."""
        names = {n: token for token, n in self.vocabulary.items()}
        return [names.get(n, f"<|unnamed {n}|>") for n in range(self.size)]

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
        if language not in self.languages:
            raise BadInput(
                f"the Whisper at {self.folder} does not know the language {language!r} "
                f"({LANGUAGES[language]}); use another model"
            )
        return self.prompt_of(self.languages[language])

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

    def processor_prompt(self) -> list[int]:
        """What transformers' processor puts before a text. Raises BadInput."""
        from transformers import AutoTokenizer

        try:
            tokenizer = AutoTokenizer.from_pretrained(self.folder)
        except (OSError, ValueError) as error:
            refuse(self.folder, f"transformers does not load its tokenizer: {reason_of(error)}")
        return tokenizer("", verbose=False)["input_ids"][:-1]

    def labels(self, prompt: list[int], text: str) -> list[int]:
        """What transformers' processor makes of a text: its prompt, text, end token."""
        ids = [*prompt, *self.encode(text)]
        self._check_length(text, len(ids), LONGEST_PROMPT)
        return [*ids, self.end]

    def encode(self, text: str) -> list[int]:
        """Ids of a text alone. Raises BadInput for one that spells a control token."""
        for token in CONTROL.findall(text):
            if token in self.vocabulary or TIME_STAMP.fullmatch(token):
                raise BadInput(
                    f"text {shorten(text)} spells the control token {token} of Whisper; remove it"
                )
        # No token has more bytes than the longest, and runs of some 100 000 spaces crash tiktoken.
        if len(text) > self.max_positions * self._longest_token_bytes:
            raise BadInput(
                f"text has {len(text)} characters, more than Whisper's decoder holds; split it"
            )
        return self.encoding.encode(text, allowed_special="all")

    def decode(self, ids: Sequence[int]) -> str:
        """Transcript without control tokens and outer spaces."""
        text = [i for i in ids if i < self.end or i in self._added]
        return self.encoding.decode(text).strip()

    @cached_property
    def _longest_token_bytes(self) -> int:
        added = (len(self.encoding.decode_single_token_bytes(n)) for n in self._added)
        return max(*map(len, self.encoding.token_byte_values()), *added)

    def _target(self, text: str, prompt_length: int) -> list[int]:
        ids = self.encode(text)
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
        if token not in self.vocabulary:
            refuse(self.folder, f"its tokenizer has no token {token}")
        return self.vocabulary[token]
