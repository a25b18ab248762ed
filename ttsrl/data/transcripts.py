"""What is said in the files of an audio folder, in each layout that speech corpora come in."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from ttsrl.errors import BadInput

TEXT_NAMES = ("text", "transcription", "transcript", "sentence", "normalized_text")
"""Columns in which a metadata file with a header may have the text."""


def read_transcripts(folder: Path, files: Iterable[Path]) -> Mapping[Path, str]:
    """Audio file -> its text, for every file that has one.

    Beside a file: `NAME.normalized.txt` (LibriTTS), `NAME.txt`, or a line of `*.trans.txt`
    (LibriSpeech). In the folder: `metadata.csv` without a header, `NAME|text|normalised text`
    (LJSpeech), or with one that has `file_name` (datasets' AudioFolder); `metadata.jsonl` likewise.
    What stands beside a file goes before. Raises BadInput for a metadata file that cannot be read.
    """
    listed = _metadata(folder)
    chapters: dict[Path, dict[str, str]] = {}
    texts: dict[Path, str] = {}
    for file in files:
        if file.parent not in chapters:
            chapters[file.parent] = _chapter_texts(file.parent)
        name = file.relative_to(folder).as_posix()
        text = (
            _beside(file)
            or chapters[file.parent].get(file.stem)
            or listed.get(name)
            or listed.get(file.name)
            or listed.get(file.stem)
        )
        if text:
            texts[file] = text
    return texts


def _beside(file: Path) -> str | None:
    for suffix in (".normalized.txt", ".txt"):
        if (sidecar := file.with_suffix(suffix)).is_file():
            return " ".join(_read(sidecar).split()) or None
    return None


def _chapter_texts(folder: Path) -> dict[str, str]:
    lines = [line for f in sorted(folder.glob("*.trans.txt")) for line in _read(f).splitlines()]
    return {name: text.strip() for name, _, text in (line.partition(" ") for line in lines)}


def _metadata(folder: Path) -> dict[str, str]:
    """Name of a file, with or without its folder and suffix -> its text."""
    if (file := folder / "metadata.jsonl").is_file():
        try:
            rows = [json.loads(line) for line in _read(file).splitlines() if line.strip()]
        except json.JSONDecodeError as error:
            raise BadInput(
                f"{file} is not JSON lines: {error.msg}; correct it, or leave it out"
            ) from None
        return _named(file, [cast("dict[str, Any]", row) for row in rows])
    if not (file := folder / "metadata.csv").is_file():
        return {}
    lines = _read(file).splitlines()
    if lines and "|" in lines[0] and "file_name" not in lines[0]:
        parts = [line.split("|") for line in lines if line.strip()]
        if short := next((i for i, part in enumerate(parts, 1) if len(part) < 2), None):
            raise BadInput(f"{file}: line {short} has no text; write NAME|text|normalised text")
        return {part[0]: part[-1].strip() for part in parts}
    return _named(file, list(csv.DictReader(lines)))


def _named(file: Path, rows: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for number, row in enumerate(rows, 1):
        column = next((name for name in TEXT_NAMES if row.get(name)), None)
        if not isinstance(row.get("file_name"), str):
            raise BadInput(
                f"{file}: entry {number} has no file_name; give each a file_name and a text"
            )
        if column is not None:
            texts[row["file_name"]] = str(row[column]).strip()
    return texts


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(f"{file}: byte {error.start} is not UTF-8; save the file as UTF-8") from None
