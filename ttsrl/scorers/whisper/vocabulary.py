"""Whisper's vocabulary, from the files in which folders keep it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from ttsrl.errors import BadInput

Parsed = TypeVar("Parsed")

RENAMED = {"<|iw|>": "<|he|>", "<|nocaptions|>": "<|nospeech|>"}
"""Names in older tokenizers, and what openai-whisper calls these tokens now."""


CONTROL = re.compile(r"<\|[^|]*\|>")
"""How Whisper's control tokens and time stamps are written."""
LIKE_CONTROL = re.compile(r"<.*>|\[.*\]")
"""How other programs write theirs: what a file does not call special is one all the same."""


@dataclass(frozen=True)
class WhisperVocabulary:
    """What a folder says of its tokens."""

    ids: dict[str, int]
    """Of each token, control tokens included."""
    words: frozenset[str] = frozenset()
    """Tokens of text that a fine-tune added: each is looked for in a text before all others."""


class AddedContent(BaseModel):
    """An added token: a control token or a time stamp, in most of them."""

    content: str
    special: bool | None = None
    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False

    @property
    def is_word(self) -> bool:
        """Time stamps are not called special, and are no text."""
        shape = CONTROL if self.special is False else LIKE_CONTROL
        return not self.special and not shape.fullmatch(self.content)


class AddedToken(AddedContent):
    """Of tokenizer.json."""

    id: int


class BpeVocabulary(BaseModel):
    """Of tokenizer.json. Its merges are not read (`ttsrl.scorers.whisper.byte_pairs`)."""

    type: Literal["BPE"] = "BPE"
    vocab: dict[str, int]


class TokenizerJson(BaseModel):
    """The file of the library tokenizers."""

    model: BpeVocabulary
    added_tokens: list[AddedToken] = []


class TokenizerConfig(BaseModel):
    """The file of transformers' tokenizers."""

    added_tokens_decoder: dict[int, AddedContent] = {}


def read_vocabulary(folder: Path) -> WhisperVocabulary:
    """From the first of the files in which folders keep it. Raises BadInput."""
    readers: dict[str, Callable[[Path], WhisperVocabulary]] = {
        "tokenizer.json": _of_tokenizer_json,
        "vocab.json": _of_vocab_json,
        "vocabulary.json": _of_list,  # these two are CTranslate2's
        "vocabulary.txt": _of_lines,
    }
    for name, read in readers.items():
        if (file := folder / name).is_file():
            found = read(file)
            if len(set(found.ids.values())) < len(found.ids):
                refuse(folder, f"{name} gives one id to two tokens")
            ids = {RENAMED.get(token, token): n for token, n in found.ids.items()}
            return WhisperVocabulary(ids, found.words)
    refuse(folder, f"it has none of {', '.join(readers)}")


def refuse(folder: Path, reason: str) -> NoReturn:
    """Raise BadInput: this tokenizer cannot be used."""
    raise BadInput(
        f"the Whisper at {folder} cannot give the ids of a text: {reason}; copy the tokenizer of "
        "the model that it was made from, or use another Whisper"
    )


def _of_tokenizer_json(file: Path) -> WhisperVocabulary:
    content = _parse(file, TypeAdapter(TokenizerJson))
    added = {token.id: token for token in content.added_tokens}
    return _with_added(file, content.model.vocab, added)


def _of_vocab_json(file: Path) -> WhisperVocabulary:
    """With the control tokens that older and newer versions of transformers keep elsewhere."""
    ids = TypeAdapter(dict[str, int])
    vocabulary, added = _parse(file, ids), dict[int, AddedContent]()
    if (more := file.with_name("added_tokens.json")).is_file():
        added |= {n: AddedContent(content=token) for token, n in _parse(more, ids).items()}
    if (config := file.with_name("tokenizer_config.json")).is_file():
        added |= _parse(config, TypeAdapter(TokenizerConfig)).added_tokens_decoder
    return _with_added(file, vocabulary, added)


def _with_added(
    file: Path, vocabulary: dict[str, int], added: Mapping[int, AddedContent]
) -> WhisperVocabulary:
    words = [token for token in added.values() if token.is_word]
    for word in words:
        if word.single_word or word.lstrip or word.rstrip:
            refuse(
                file.parent,
                f"its added token {word.content!r} depends on what stands beside it (single_word, "
                "lstrip or rstrip)",
            )
    ids = vocabulary | {token.content: n for n, token in added.items()}
    return WhisperVocabulary(ids, frozenset(word.content for word in words))


def _of_list(file: Path) -> WhisperVocabulary:
    return _numbered(_parse(file, TypeAdapter(list[str])))


def _of_lines(file: Path) -> WhisperVocabulary:
    try:
        content = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        refuse(file.parent, f"{file.name} is not UTF-8 at byte {error.start}")
    return _numbered(content.removesuffix("\n").split("\n"))


def _numbered(tokens: list[str]) -> WhisperVocabulary:
    return WhisperVocabulary({token: n for n, token in enumerate(tokens)})


def _parse(file: Path, kind: TypeAdapter[Parsed]) -> Parsed:
    try:
        return kind.validate_json(file.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        place = "".join(f"{part}: " for part in first["loc"])
        refuse(file.parent, f"{file.name}: {place}{first['msg']}")
