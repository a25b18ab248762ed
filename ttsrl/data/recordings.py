"""Recordings of a data source with what is said in them; the audio is read later, one by one.

A source is a folder of audio files, JSON lines with paths, parquet, or a Hugging Face data set.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from ttsrl.audio.io import SUFFIXES
from ttsrl.data.sources import (
    check_columns,
    is_data_set,
    load_data_set,
    open_parquet,
    parquet_files,
    read_rows,
)
from ttsrl.data.transcripts import read_transcripts
from ttsrl.errors import BadInput, did_you_mean, shorten
from ttsrl.text.languages import check_language

FIELDS = ("audio", "text", "language", "speaker", "id")
"""What is read of a row; each may stand under another name."""

NEMO_AUDIO = "audio_filepath"
"""NeMo's manifests call a recording's path so."""


@dataclass(frozen=True)
class Recording:
    """One recording."""

    id: str
    audio: str
    """Where it is: a path, or a row of the source."""
    text: str | None
    language: str | None
    speaker: str | None
    read: Callable[[], Path | bytes]
    """Its file, or the file's contents. Raises BadInput."""


def read_recordings(
    source: Path, columns: Mapping[str, str], language: str | None
) -> list[Recording]:
    """All recordings in their order; no audio is read.

    `columns` gives the names that fields have in the source, where they are others than in FIELDS;
    `language` is that of rows that name none. Raises BadInput for an unknown field or language, for
    a broken row and for a repeated id.
    """
    if unknown := sorted(set(columns) - set(FIELDS)):
        raise BadInput(f"no field {unknown[0]!r} to read{did_you_mean(unknown[0], FIELDS)}")
    if language is not None:
        check_language(language)
    names = {field: columns.get(field, field) for field in FIELDS}
    if is_data_set(source) or parquet_files(source):
        rows = _table(source, names)
    elif source.is_dir():
        rows = _folder(source)
    elif source.is_file():
        rows = _jsonl(source, names)
    else:
        raise BadInput(
            f"no such file or folder: {source}; give a folder of audio files, JSON lines with "
            "paths, parquet, or a Hugging Face data set folder"
        )
    recordings: list[Recording] = []
    place_of_id: dict[str, str] = {}
    for place, recording in rows:
        if recording.id in place_of_id:
            raise BadInput(
                f"{place}: the id {recording.id!r} stands at {place_of_id[recording.id]} already; "
                "give each recording its own id, or none"
            )
        place_of_id[recording.id] = place
        recordings.append(recording)
    if not recordings:
        raise BadInput(f"{source} holds no recording; {', '.join(SUFFIXES)} files are looked for")
    if language is None:
        return recordings
    return [
        Recording(r.id, r.audio, r.text, r.language or language, r.speaker, r.read)
        for r in recordings
    ]


def _folder(folder: Path) -> Iterator[tuple[str, Recording]]:
    files = sorted(f for f in folder.rglob("*") if f.suffix.lower() in SUFFIXES and f.is_file())
    transcripts = read_transcripts(folder, files)
    for file in files:
        name = file.relative_to(folder)
        yield (
            str(file),
            Recording(
                name.with_suffix("").as_posix(),
                str(file),
                transcripts.get(file),
                None,
                None,
                partial(Path, file),
            ),
        )


def _jsonl(source: Path, names: Mapping[str, str]) -> Iterator[tuple[str, Recording]]:
    for place, fields in read_rows(source, tuple(names.values())):
        path = fields.get(names["audio"], fields.get(NEMO_AUDIO))
        if not isinstance(path, str) or not path.strip():
            raise BadInput(
                f"{place}: {shorten(fields)} names no recording; give its path as "
                f"{names['audio']!r}"
            )
        file = source.parent / path
        texts = _texts(place, fields, names)
        yield (
            place,
            Recording(
                texts["id"] or Path(path).with_suffix("").as_posix(),
                str(file),
                texts["text"],
                texts["language"],
                texts["speaker"],
                partial(Path, file),
            ),
        )


def _table(source: Path, names: Mapping[str, str]) -> Iterator[tuple[str, Recording]]:
    """Rows of a table, whose audio is a struct of `bytes` and `path` as `datasets` writes it."""
    audio = _data_set_audio if is_data_set(source) else _parquet_audio
    read = audio(source, names["audio"])
    light = [names[field] for field in FIELDS if field != "audio"]
    for number, (place, row) in enumerate(read_rows(source, light)):
        texts = _texts(place, row, names)
        yield (
            place,
            Recording(
                texts["id"] or f"{number:08d}",
                place,
                texts["text"],
                texts["language"],
                texts["speaker"],
                partial(_contents, read, number, source),
            ),
        )


def _contents(read: Callable[[int], Any], number: int, source: Path) -> Path | bytes:
    value = read(number)
    if isinstance(value, str):
        return source / value
    if isinstance(value, dict):
        if isinstance(contents := value.get("bytes"), bytes):
            return contents
        if isinstance(path := value.get("path"), str):
            return source / path
    raise BadInput(f"the row's audio is {shorten(value)}: neither bytes nor a path")


def _data_set_audio(folder: Path, column: str) -> Callable[[int], Any]:
    from datasets import Audio

    loaded = load_data_set(folder)
    check_columns(folder, loaded.column_names, column)
    if isinstance(loaded.features[column], Audio):  # decoding it would need torchcodec
        loaded = loaded.cast_column(column, Audio(decode=False))
    loaded = loaded.select_columns([column])
    return lambda number: loaded[number][column]


def _parquet_audio(source: Path, column: str) -> Callable[[int], Any]:
    starts: list[int] = []
    groups: list[tuple[Path, int]] = []
    total = 0
    for file in parquet_files(source):
        with open_parquet(file) as table:
            check_columns(file, table.schema_arrow.names, column)
            for group in range(table.num_row_groups):
                starts.append(total)
                groups.append((file, group))
                total += table.metadata.row_group(group).num_rows

    @lru_cache(maxsize=8)
    def rows_of(group: int) -> Sequence[Any]:
        file, number = groups[group]
        with open_parquet(file) as table:
            return table.read_row_group(number, columns=[column])[column].to_pylist()

    def read(number: int) -> Any:
        group = bisect.bisect_right(starts, number) - 1
        return rows_of(group)[number - starts[group]]

    return read


def _texts(place: str, row: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, str | None]:
    """The fields of a row that are texts; numbers are taken for names."""
    texts: dict[str, str | None] = {}
    for field in ("id", "text", "language", "speaker"):
        value = row.get(names[field])
        if isinstance(value, int) and not isinstance(value, bool) and field != "text":
            value = str(value)
        if value is not None and not isinstance(value, str):
            raise BadInput(f"{place}: {names[field]} = {shorten(value)} is not a text")
        texts[field] = value.strip() or None if value else None
    if texts["language"] is not None:
        try:
            check_language(texts["language"])
        except BadInput as error:
            raise BadInput(f"{place}: {error}") from None
    return texts
