"""One row that describes a recording, in a manifest or in a corpus's metadata."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ttsrl.audio.io import WHOLE, Segment
from ttsrl.data.fields import PARTS, Keys, seconds
from ttsrl.errors import BadInput, shorten
from ttsrl.text.languages import language_of

ROW = ("audio", "text", "language", "speaker", "id", "duration_s", "offset_s")
"""Fields of a row that names a recording."""


@dataclass(frozen=True)
class RecordingRow:
    """The fields of one row; None where it has none."""

    audio: str | None
    text: str | None
    language: str | None
    speaker: str | None
    id: str | None
    duration_s: float | None
    """Of the recording, or of the part that `segment` is."""
    segment: Segment


def row_of(place: str, raw: Mapping[str, Any], keys: Keys) -> RecordingRow:
    """Read a row. Raises BadInput, naming `place`, for a value that a field cannot have."""
    fields = keys.of(place, raw)
    try:
        _check_parts(raw, keys)
        texts = {name: _text(fields, name) for name in ("audio", "text", "language", "speaker")}
        duration_s, offset_s = seconds(fields, "duration_s"), seconds(fields, "offset_s")
        if texts["language"] is not None:
            texts["language"] = language_of(texts["language"])
        segment = WHOLE if offset_s is None else Segment(offset_s, duration_s)
        return RecordingRow(**texts, id=_text(fields, "id"), duration_s=duration_s, segment=segment)
    except BadInput as error:
        raise BadInput(f"{place}: {error}") from None


def texts_of(place: str, fields: Mapping[str, Any]) -> dict[str, str | None]:
    """Text, language, speaker and id of the fields of a row. Raises BadInput as `row_of` does."""
    try:
        texts = {name: _text(fields, name) for name in ("text", "language", "speaker", "id")}
        if texts["language"] is not None:
            texts["language"] = language_of(texts["language"])
        return texts
    except BadInput as error:
        raise BadInput(f"{place}: {error}") from None


def _check_parts(raw: Mapping[str, Any], keys: Keys) -> None:
    for name in PARTS:
        if raw.get(name) not in (None, "") and name not in keys.columns.values():
            raise BadInput(
                f"{name} = {shorten(raw[name])} would choose a part of the recording, and is not "
                "read; give offset and duration in seconds, or one file for each part and channel"
            )


def _text(fields: Mapping[str, Any], name: str) -> str | None:
    """A field that is a text; numbers are taken for names."""
    value = fields.get(name)
    if isinstance(value, int) and not isinstance(value, bool) and name not in ("text", "audio"):
        value = str(value)
    if value is not None and not isinstance(value, str):
        raise BadInput(f"{name} = {shorten(value)} is not a text; give a string, or leave it out")
    return value.strip() or None if value else None
