"""Texts to speak, each one checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ttsrl.config import DataConfig
from ttsrl.errors import BadInput
from ttsrl.explain import shorten
from ttsrl.rows import read_rows
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


def read_texts(data: DataConfig, accept: Callable[[Text], object]) -> list[Text]:
    """All texts in their order; keys other than `text` and the optional ones are left unread.

    `accept` raises BadInput for a text that the family cannot take. Raises BadInput naming file and
    line (data set folder and row) of the first text that cannot be used, and for a repeated id.
    """
    rows = read_rows(Path(data.texts), ("text", *OPTIONAL), needed="text")
    texts: list[Text] = []
    place_of_id: dict[str, str] = {}
    for place, row in rows:
        try:
            text = _check(row, data)
            accept(text)
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
        raise BadInput(f'{data.texts} holds no text; write one {{"text": "..."}} a line')
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
