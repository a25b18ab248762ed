"""One file that names recordings: JSON lines (NeMo, Emilia, Lhotse's cuts), or a table.

Paths are from the file's folder; Common Voice's from its folder clips. `offset` and `duration`
choose a part of a recording; `duration` alone says what the whole one lasts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ttsrl.audio.io import SUFFIXES
from ttsrl.data.fields import Keys, typed
from ttsrl.data.layouts.base import Listed
from ttsrl.data.layouts.common_voice import CLIPS, is_table
from ttsrl.data.layouts.filelist import filelist_rows, is_filelist
from ttsrl.data.layouts.lhotse import is_cut, listed_cut
from ttsrl.data.layouts.rows import ROW, RecordingRow, row_of
from ttsrl.errors import BadInput, shorten
from ttsrl.lines.folders import is_file
from ttsrl.lines.json_lines import json_objects
from ttsrl.lines.tables import DELIMITER_OF, header_of, table_rows
from ttsrl.lines.text import suffix_of
from ttsrl.text.languages import language_of


def read_manifest(file: Path, columns: Mapping[str, str]) -> list[Listed]:
    """What each row names, in their order; a recording may be missing, but not all of them.

    Raises BadInput naming file and line.
    """
    keys = Keys(ROW, columns)
    folder = file.parent
    if is_filelist(file):
        rows = filelist_rows(file)
        return _there(file, folder, [_of_row(file, folder, place, row) for place, row in rows])
    if suffix_of(file) == ".tsv" and is_table(file):
        folder, keys = folder / CLIPS, Keys(ROW, {"speaker": "client_id", **columns})
    listed = [
        listed_cut(file, place, raw) if is_cut(raw) else _listed(file, folder, place, raw, keys)
        for place, raw in _rows(file)
    ]
    return _there(file, folder, listed)


def _there(file: Path, folder: Path, listed: list[Listed]) -> list[Listed]:
    if listed and not any(is_file(item.file) for item in listed):
        raise BadInput(
            f"{file}: none of the {len(listed)} recordings that it names is there; the first is "
            f"{listed[0].file}; correct the paths, which are from {folder}"
        )
    return listed


def _rows(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    if (suffix := suffix_of(file)) in DELIMITER_OF:
        check_header(file, DELIMITER_OF[suffix])
        return ((place, typed(row)) for place, row in table_rows(file, DELIMITER_OF[suffix]))
    return json_objects(file, '{"audio": "PATH", "text": "..."}')


def check_header(file: Path, delimiter: str) -> None:
    """Raise BadInput for a table without a header."""
    names = header_of(file, delimiter)
    if first := next((name for name in names if name.lower().endswith(SUFFIXES)), None):
        raise BadInput(
            f"{file}: its first line names the recording {shorten(first)}, and should name the "
            "columns; write audio and text above it"
        )


def _listed(file: Path, folder: Path, place: str, raw: Mapping[str, Any], keys: Keys) -> Listed:
    row = row_of(place, raw if "recording_id" not in raw else {}, keys)
    if row.audio is None and {"sources", "recording_id"} & set(raw):
        raise BadInput(
            f"{file} is one of Lhotse's two manifests, of recordings and of supervisions; give the "
            "folder that holds both"
        )
    if row.audio is None:
        raise BadInput(
            f"{place}: {shorten(raw)} names no recording; give its path as "
            f"{keys.columns.get('audio', 'audio')!r}"
        )
    if row.language is None and raw.get("locale"):
        row = replace(row, language=language_of(raw["locale"]))
    return _of_row(file, folder, place, row)


def _of_row(file: Path, folder: Path, place: str, row: RecordingRow) -> Listed:
    assert row.audio is not None, "checked"
    name = Path(row.audio).with_suffix("").as_posix()
    if row.segment.offset_s or row.segment.duration_s is not None:
        name += f"-{round(row.segment.offset_s * 1000):07d}"
    return Listed(
        folder / row.audio,
        file,
        row.text,
        row.id or name,
        row.language,
        row.speaker,
        row.segment,
        None if row.segment.duration_s is not None else row.duration_s,
        place,
    )
