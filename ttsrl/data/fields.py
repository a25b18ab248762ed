"""The fields of a row, under the names that corpora and tools give them.

A name that means a field is read as that field, or refused with the name that is read: a key that
changes what a row says is never passed over.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from ttsrl.errors import BadInput, shorten

ALSO = {
    "text": ("transcription", "transcript", "sentence", "normalized_text", "text_normalized"),
    "audio": ("audio_filepath", "file_name", "audio_file", "audio_path", "wav", "path"),
    "language": ("lang",),
    "speaker": ("speaker_id", "speaker_name"),
    "id": (),
    "duration_s": ("duration",),
    "offset_s": ("offset",),
    "speech_tokens": (),
    "style": ("instruct", "instruct_text"),
    "label": (),
    "prompt_text": ("ref_text", "reference_text"),
    "prompt_audio": ("prompt_wav", "ref_audio", "reference_audio"),
    "prompt_tokens": (),
}
"""Field -> names under which it is read too, where its own is not there: those of NeMo, Emilia,
Common Voice, AudioFolder, Coqui and Hugging Face's data sets, and those of a style and a reference
in CosyVoice's, F5-TTS' and Qwen3-TTS' lists."""

AMBIGUOUS = ("text", "audio")
"""Fields that are asked for where several names could mean them; of others the first is taken."""

TIMES = frozenset(["duration_s", "duration", "offset_s", "offset"])

PARTS = ("start", "end", "start_s", "end_s", "start_time", "end_time", "begin_time", "channel")
"""Keys that choose a part of a recording and are not read."""


@dataclass(frozen=True)
class Keys:
    """The fields that a reader wants."""

    wanted: tuple[str, ...]
    columns: Mapping[str, str] = field(default_factory=dict[str, str])
    """Field -> the name that the user gave it."""

    def of(self, place: object, row: Mapping[str, Any]) -> dict[str, Any]:
        """The wanted fields of a row, under their own names; null stands for a missing one.

        Raises BadInput, naming `place`, for names that could mean a field and are not read.
        """
        present = tuple(name for name, value in row.items() if value is not None)
        names = self.names(place, present)
        return {field: row[name] for field, name in names.items()}

    def has(self, name: str, row: Mapping[str, Any]) -> bool:
        """Whether a row has a field, null or not, under one of its names."""
        if name in self.columns:
            return self.columns[name] in row
        return any(other in row for other in (name, *ALSO[name]))

    def names(self, place: object, present: Iterable[str]) -> dict[str, str]:
        """Field -> its name among those of a row or a table. Raises BadInput as `of` does."""
        try:
            return _names(self.wanted, tuple(sorted(self.columns.items())), tuple(present))
        except BadInput as error:
            raise BadInput(f"{place}: {error}") from None


def seconds(fields: Mapping[str, Any], name: str) -> float | None:
    """A field that is a time; None where it is missing. Raises BadInput for anything else."""
    value = fields.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise BadInput(f"{name} = {shorten(fields[name])} is not a number; give seconds from 0")
    return float(value)


def typed(row: Mapping[str, str]) -> dict[str, Any]:
    """A row of a table in a text file: null where nothing stands, and times as numbers."""
    return {name: _number(value) if name in TIMES else value or None for name, value in row.items()}


def _number(value: str) -> float | str | None:
    with suppress(ValueError):
        return float(value) if value.strip() else None
    return value


@lru_cache(maxsize=1024)
def _names(
    wanted: tuple[str, ...], columns: tuple[tuple[str, str], ...], present: tuple[str, ...]
) -> dict[str, str]:
    given = dict(columns)
    found: dict[str, str] = {}
    for name in wanted:
        if name in given:
            if given[name] in present:
                found[name] = given[name]
        elif name in present:
            found[name] = name
        elif others := [other for other in ALSO[name] if other in present]:
            if len(others) > 1 and name in AMBIGUOUS:
                raise BadInput(
                    f"{' and '.join(map(repr, others))} may both be the {name}; name one of them "
                    f"{name!r}, or choose it where the command has --column {name}=NAME"
                )
            found[name] = others[0]
    for other in present:
        if other not in found.values() and (meant := _meant(other, wanted, given)):
            raise BadInput(
                f"the key {other!r} is not read, and looks like {meant!r}; rename it, or leave it "
                "out if it means something else"
            )
    return found


def _meant(name: str, wanted: tuple[str, ...], given: Mapping[str, str]) -> str | None:
    """The field that an unread name seems to mean."""
    if name in ALSO or any(name in also for also in ALSO.values()):
        return None  # known, and another name was read or the reader does not want it
    bare = _bare(name)
    for field_ in wanted:
        if field_ in given:
            continue
        if bare in map(_bare, (field_, *ALSO[field_])):
            return field_
        near = difflib.SequenceMatcher(None, bare, _bare(field_)).ratio()
        if len(field_) > 2 and near >= 0.85:
            return field_
    return None


def _bare(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.casefold())
