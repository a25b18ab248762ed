"""Whisper's vocabulary, from the files in which folders keep it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal, NoReturn, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from ttsrl.errors import BadInput

Parsed = TypeVar("Parsed")

RENAMED = {"<|iw|>": "<|he|>", "<|nocaptions|>": "<|nospeech|>"}
"""Names in older tokenizers, and what openai-whisper calls these tokens now."""


class AddedToken(BaseModel):
    """Of tokenizer.json: a control token, in most of them."""

    id: int
    content: str


class BpeVocabulary(BaseModel):
    """Of tokenizer.json. Its merges are not read (`ttsrl.scorers.whisper.byte_pairs`)."""

    type: Literal["BPE"] = "BPE"
    vocab: dict[str, int]


class TokenizerJson(BaseModel):
    """The file of the library tokenizers."""

    model: BpeVocabulary
    added_tokens: list[AddedToken] = []


class AddedContent(BaseModel):
    """Of tokenizer_config.json."""

    content: str


class TokenizerConfig(BaseModel):
    """The file of transformers' tokenizers."""

    added_tokens_decoder: dict[int, AddedContent] = {}


def read_vocabulary(folder: Path) -> dict[str, int]:
    """Id of each token, control tokens included. Raises BadInput."""
    readers: dict[str, Callable[[Path], dict[str, int]]] = {
        "tokenizer.json": _of_tokenizer_json,
        "vocab.json": _of_vocab_json,
        "vocabulary.json": _of_list,  # these two are CTranslate2's
        "vocabulary.txt": _of_lines,
    }
    for name, read in readers.items():
        if (file := folder / name).is_file():
            vocabulary = read(file)
            if len(set(vocabulary.values())) < len(vocabulary):
                refuse(folder, f"{name} gives one id to two tokens")
            return {RENAMED.get(token, token): n for token, n in vocabulary.items()}
    refuse(folder, f"it has none of {', '.join(readers)}")


def refuse(folder: Path, reason: str) -> NoReturn:
    """Raise BadInput: this tokenizer cannot be used."""
    raise BadInput(
        f"the Whisper at {folder} cannot give the ids of a text: {reason}; copy the tokenizer of "
        "the model that it was made from, or use another Whisper"
    )


def _of_tokenizer_json(file: Path) -> dict[str, int]:
    content = _parse(file, TypeAdapter(TokenizerJson))
    return content.model.vocab | {token.content: token.id for token in content.added_tokens}


def _of_vocab_json(file: Path) -> dict[str, int]:
    """With the control tokens that older and newer versions of transformers keep elsewhere."""
    ids = TypeAdapter(dict[str, int])
    vocabulary = _parse(file, ids)
    if (added := file.with_name("added_tokens.json")).is_file():
        vocabulary |= _parse(added, ids)
    if (config := file.with_name("tokenizer_config.json")).is_file():
        decoder = _parse(config, TypeAdapter(TokenizerConfig)).added_tokens_decoder
        vocabulary |= {token.content: n for n, token in decoder.items()}
    return vocabulary


def _of_list(file: Path) -> dict[str, int]:
    return _numbered(_parse(file, TypeAdapter(list[str])))


def _of_lines(file: Path) -> dict[str, int]:
    try:
        content = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        refuse(file.parent, f"{file.name} is not UTF-8 at byte {error.start}")
    return _numbered(content.removesuffix("\n").split("\n"))


def _numbered(tokens: list[str]) -> dict[str, int]:
    return {token: n for n, token in enumerate(tokens)}


def _parse(file: Path, kind: TypeAdapter[Parsed]) -> Parsed:
    try:
        return kind.validate_json(file.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        place = "".join(f"{part}: " for part in first["loc"])
        refuse(file.parent, f"{file.name}: {place}{first['msg']}")
