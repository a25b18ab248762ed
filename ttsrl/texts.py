"""Texts to speak, from a JSONL file or a Hugging Face data set folder; each one checked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ttsrl.config import DataConfig
from ttsrl.errors import BadInput
from ttsrl.explain import shorten
from ttsrl.text import check_text

OPTIONAL = ("language", "id", "style", "speaker")


@dataclass(frozen=True)
class Text:
    """One text of the data."""

    text: str
    language: str
    id: str | None
    style: str | None
    speaker: str | None


def read_texts(data: DataConfig, accept: Callable[[str], object]) -> list[Text]:
    """All texts in their order; keys other than `text` and the optional ones are left unread.

    `accept` raises BadInput for a text that the family cannot take. Raises BadInput naming file and
    line (data set folder and row) of the first text that cannot be used, and for a repeated id.
    """
    path = Path(data.texts)
    if path.is_dir():
        rows = _data_set_rows(path)
    elif path.is_file():
        rows = _jsonl_rows(path)
    else:
        raise BadInput(
            f"data.texts: no such file or folder: {path}; give a JSONL file with a 'text' a line, "
            "or a Hugging Face data set folder"
        )
    texts: list[Text] = []
    place_of_id: dict[str, str] = {}
    for place, row in rows:
        try:
            text = _check(row, data)
            accept(text.text)
        except BadInput as error:
            raise BadInput(f"{place}: {error}") from None
        if text.id is not None and text.id in place_of_id:
            raise BadInput(
                f"{place}: the id {text.id!r} stands at {place_of_id[text.id]} already; "
                "give each text its own id, or none"
            )
        if text.id is not None:
            place_of_id[text.id] = place
        texts.append(text)
    if not texts:
        raise BadInput(f'{path} holds no text; write one {{"text": "..."}} a line')
    return texts


def _check(row: object, data: DataConfig) -> Text:
    if not isinstance(row, dict):
        raise BadInput(f'{shorten(row)} is no JSON object; write {{"text": "..."}}')
    fields = cast("dict[str, Any]", row)
    if "text" not in fields:
        raise BadInput(f"{shorten(fields)} has no key 'text'; name what is to be spoken 'text'")
    optional = {key: _string_or_none(fields, key) for key in OPTIONAL}
    language = optional["language"] or data.language
    text = check_text(fields["text"], language, data.max_chars)
    return Text(text, language, optional["id"], optional["style"], optional["speaker"])


def _string_or_none(fields: Mapping[str, Any], key: str) -> str | None:
    value = fields.get(key)
    if key == "id" and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if value is None or (isinstance(value, str) and value.strip()):
        return value
    raise BadInput(f"{key} = {shorten(value)} is no text; give a non-empty string, or leave it out")


def _jsonl_rows(path: Path) -> Iterator[tuple[str, object]]:
    """(file:line, parsed line); blank lines are skipped."""
    for number, line in enumerate(path.read_bytes().split(b"\n"), 1):
        place = f"{path}:{number}"
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise BadInput(
                f"{place}: byte {line[error.start]:#04x} at column {error.start + 1} is not UTF-8; "
                "save the file as UTF-8"
            ) from None
        if not text.strip():
            continue
        try:
            yield place, json.loads(text)
        except json.JSONDecodeError as error:
            raise BadInput(
                f"{place}: not JSON at column {error.colno} ({error.msg}): {shorten(text)}; "
                'write one {"text": "..."} a line'
            ) from None


def _data_set_rows(folder: Path) -> Iterator[tuple[str, object]]:
    """(folder: row number from 0, row) of a data set written by `save_to_disk`."""
    try:
        from datasets import (  # pyright: ignore[reportMissingTypeStubs]
            DatasetDict,
            load_from_disk,  # pyright: ignore[reportUnknownVariableType]
        )
    except ImportError:
        raise BadInput(
            f"data.texts = {folder} is a folder, and reading a Hugging Face data set needs the "
            "package datasets; install the extra 'train', or give a JSONL file"
        ) from None
    try:
        loaded = load_from_disk(str(folder))
    except (FileNotFoundError, ValueError) as error:
        raise BadInput(
            f"data.texts: {folder} is no data set folder ({error}); write it with save_to_disk, "
            "or give a JSONL file"
        ) from None
    if isinstance(loaded, DatasetDict):
        raise BadInput(
            f"data.texts: {folder} holds the splits {', '.join(map(str, loaded))}; "
            f"give one of them: {folder / str(next(iter(loaded)))}"
        )
    wanted = [name for name in loaded.column_names if name in ("text", *OPTIONAL)]
    if "text" not in wanted:
        raise BadInput(
            f"data.texts: {folder} has no column 'text' but {', '.join(loaded.column_names)}; "
            "rename the column to be spoken to 'text'"
        )
    rows = cast("Iterable[object]", loaded.select_columns(wanted))
    for number, row in enumerate(rows):
        yield f"{folder}: row {number}", row
