"""Recordings of a data source with what is said in them; the audio is read later, one by one.

A source is a corpus's folder, a file that names recordings, parquet, or a Hugging Face data set.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from ttsrl.audio.io import SUFFIXES, WHOLE, Segment
from ttsrl.data.fields import Keys
from ttsrl.data.layouts.base import Corpus, Listed
from ttsrl.data.layouts.manifest import read_manifest
from ttsrl.data.layouts.registry import LayoutName, find, merge
from ttsrl.data.layouts.rows import texts_of
from ttsrl.data.sources import (
    columns_of,
    damaged,
    is_data_set,
    load_data_set,
    open_parquet,
    parquet_files,
    read_rows,
)
from ttsrl.data.survey import Survey, unread_in
from ttsrl.data.tars import archives_in, members_of, packed_in
from ttsrl.errors import BadInput, did_you_mean, shorten
from ttsrl.text.languages import check_language

FIELDS = ("audio", "text", "language", "speaker", "id")
"""What is read of a row; each may stand under another name."""


@dataclass(frozen=True)
class Recording:
    """One recording, or a part of one."""

    id: str
    audio: str
    """Where it is: a path, or a row of the source."""
    text: str | None
    language: str | None
    speaker: str | None
    read: Callable[[], Path | bytes]
    """Its file, or the file's contents. Raises BadInput."""
    segment: Segment = WHOLE
    duration_s: float | None = None
    """What the source says that the whole file lasts."""
    place: str = ""
    """Where the source names it, for errors."""


@dataclass(frozen=True)
class Recordings:
    """All recordings of a source, in its order, and where their texts come from."""

    recordings: list[Recording]
    survey: Survey


def read_recordings(
    source: Path,
    columns: Mapping[str, str],
    language: str | None,
    layout: LayoutName = "auto",
    *,
    repeated: bool = False,
) -> Recordings:
    """All recordings in their order; no audio is read.

    `columns` gives the names that fields have in the source, where they are others than in FIELDS;
    `language` is that of rows that name none; `repeated` allows an id to stand twice. Raises
    BadInput for an unknown field or language, for a broken row, for a repeated id, and where no
    recording has a text while files that may hold texts were not understood (unless `layout` is
    "none").
    """
    if unknown := sorted(set(columns) - set(FIELDS)):
        raise BadInput(f"no field {unknown[0]!r} to read{did_you_mean(unknown[0], FIELDS)}")
    if language is not None:
        check_language(language)
    if layout != "auto" and not source.is_dir():
        raise BadInput(f"--layout {layout} is for a corpus's folder, and {source} is not a folder")
    if is_data_set(source) or parquet_files(source, corpus=True):
        found = _table(source, columns)
    elif archives := archives_in(source):
        found = _archives(source, archives, columns)
    elif source.is_dir():
        found = _folder(source, columns, layout)
    elif source.is_file() and source.suffix.lower() in SUFFIXES:
        raise BadInput(
            f"{source} is a recording, and a list of recordings or a folder is wanted; give the "
            "folder, or a list with a line for each (docs/data.md)"
        )
    elif source.is_file():
        listed = list(read_manifest(source, columns))
        if not listed:
            raise BadInput(f"{source} names no recording; it needs a line for each (docs/data.md)")
        found = _found(source, [_recording(item, source.parent) for item in listed], {source})
    else:
        raise BadInput(
            f"no such file or folder: {source}; give a folder of audio files, JSON lines or a "
            "table with paths, parquet, or a Hugging Face data set folder"
        )
    if not repeated:
        _check_ids(found.recordings, from_files=source.is_dir())
    if not found.recordings:
        packed = ", ".join(file.name for file in packed_in(source)[:3])
        unread = ", ".join(file.name for file in found.survey.unread[:3])
        raise BadInput(
            f"{source} holds no recording; {', '.join(SUFFIXES)} files are looked for"
            + (f"; unpack {packed}" if packed else "")
            + (f"; {unread} was not understood (docs/data.md)" if unread and not packed else "")
        )
    if layout != "none":
        found.survey.check()
    spoken = [replace(r, language=r.language or language) for r in found.recordings]
    return Recordings(spoken, found.survey)


def _folder(folder: Path, columns: Mapping[str, str], layout: LayoutName) -> Recordings:
    corpus = Corpus.at(folder)
    listings = find(corpus, layout, columns)
    listed = merge(listings, corpus)
    read = frozenset(file for listing in listings for file in listing.read)
    notes = [note for listing in listings for note in listing.notes]
    unread = unread_in(corpus, read)
    sources = [item.source for item in listed if item.text]
    return _found(folder, [_recording(item, folder) for item in listed], sources, unread, notes)


def _archives(source: Path, archives: Iterable[Path], columns: Mapping[str, str]) -> Recordings:
    members = [member for archive in archives for member in members_of(archive, columns)]
    recordings = [
        Recording(
            member.row.id or member.name,
            f"{member.archive}/{member.name}",
            member.row.text,
            member.row.language,
            member.row.speaker,
            member.read,
            member.row.segment,
            member.row.duration_s if member.row.segment == WHOLE else None,
            f"{member.archive}: {member.name}",
        )
        for member in members
    ]
    return _found(source, recordings, [m.source for m in members if m.row.text])


def _found(
    source: Path,
    recordings: list[Recording],
    texts_in: Iterable[Path],
    unread: Sequence[Path] = (),
    notes: Sequence[str] = (),
) -> Recordings:
    said = [r for r in recordings if r.text]
    example = (said[0].audio, said[0].text or "") if said else None
    files = tuple(dict.fromkeys(texts_in)) if said else ()
    survey = Survey(source, len(recordings), len(said), files, example, tuple(unread), tuple(notes))
    return Recordings(recordings, survey)


def _recording(item: Listed, folder: Path) -> Recording:
    file = item.file
    name = file.relative_to(folder) if file.is_relative_to(folder) else file
    default = name.with_suffix("").as_posix()
    if item.segment != WHOLE:
        default += f"-{round(item.segment.offset_s * 1000):07d}"
    return Recording(
        item.id or default,
        str(file),
        item.text,
        item.language,
        item.speaker,
        partial(Path, file),
        item.segment,
        item.duration_s,
        item.place or str(file),
    )


def _check_ids(recordings: Iterable[Recording], from_files: bool) -> None:
    place_of_id: dict[str, str] = {}
    for recording in recordings:
        if recording.id in place_of_id:
            other = place_of_id[recording.id]
            raise BadInput(
                f"{recording.place} and {other} would both be {recording.id!r}; remove or rename "
                "one of them"
                if from_files
                else f"{recording.place}: the id {recording.id!r} stands at {other} already; give "
                "each recording its own id, or none"
            )
        place_of_id[recording.id] = recording.place


def _table(source: Path, columns: Mapping[str, str]) -> Recordings:
    """Rows of a table, whose audio is a struct of `bytes` and `path` as `datasets` writes it."""
    audio = _data_set_audio if is_data_set(source) else _parquet_audio
    read = audio(source, Keys(("audio",), columns))
    keys = Keys(("text", "language", "speaker", "id"), columns)
    recordings: list[Recording] = []
    for number, (place, row) in enumerate(read_rows(source, keys)):
        texts = texts_of(place, row)
        recordings.append(
            Recording(
                texts["id"] or f"{number:08d}",
                place,
                texts["text"],
                texts["language"],
                texts["speaker"],
                partial(_contents, read, number),
                place=place,
            )
        )
    return _found(source, recordings, [source])


def _contents(read: Callable[[int], tuple[Path, Any]], number: int) -> Path | bytes:
    folder, value = read(number)
    if isinstance(value, str):
        return folder / value
    if isinstance(value, bytes):
        return value
    if isinstance(value, dict):
        if isinstance(contents := value.get("bytes"), bytes):
            return contents
        if isinstance(path := value.get("path"), str):
            return folder / path
    raise BadInput(f"the row's audio is {shorten(value)}: neither bytes nor a path")


def _data_set_audio(folder: Path, keys: Keys) -> Callable[[int], tuple[Path, Any]]:
    from datasets import Audio

    loaded = load_data_set(folder)
    column = columns_of(folder, loaded.column_names, keys, "audio")["audio"]
    if isinstance(loaded.features[column], Audio):  # decoding it would need torchcodec
        loaded = loaded.cast_column(column, Audio(decode=False))
    loaded = loaded.select_columns([column])

    def read(number: int) -> tuple[Path, Any]:
        try:
            return folder, loaded[number][column]
        except Exception as error:
            raise damaged(folder, error) from None

    return read


def _parquet_audio(source: Path, keys: Keys) -> Callable[[int], tuple[Path, Any]]:
    """Reads the audio of a row; paths in it are from the folder of its file."""
    starts: list[int] = []
    groups: list[tuple[Path, int, str]] = []
    total = 0
    for file in parquet_files(source):
        with open_parquet(file) as table:
            column = columns_of(file, table.schema_arrow.names, keys, "audio")["audio"]
            for group in range(table.num_row_groups):
                starts.append(total)
                groups.append((file, group, column))
                total += table.metadata.row_group(group).num_rows

    @lru_cache(maxsize=8)
    def rows_of(group: int) -> Sequence[Any]:
        file, number, column = groups[group]
        with open_parquet(file) as table:
            try:
                return table.read_row_group(number, columns=[column])[column].to_pylist()
            except Exception as error:
                raise damaged(file, error) from None

    def read(number: int) -> tuple[Path, Any]:
        group = bisect.bisect_right(starts, number) - 1
        return groups[group][0].parent, rows_of(group)[number - starts[group]]

    return read
