"""Rows of a data source, whatever it is: JSON lines, plain text, parquet, a Hugging Face data set.

Each row comes with its place, so that an error can name it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

from pyarrow import ArrowException, parquet

from ttsrl.errors import BadInput, shorten

Row = tuple[str, object]
"""(place in the source, what stands there: a dict unless a JSON line is broken)."""

KINDS = (
    "give JSON lines, plain text (.txt, one text per line), parquet (a file, or a folder of "
    "files), or a Hugging Face data set folder"
)


def read_rows(path: Path, wanted: Sequence[str], needed: str | None = None) -> Iterator[Row]:
    """All rows in their order; of a table only the columns in `wanted` are read, as far as it has
    them. Raises BadInput for what cannot be read, and for a table without the column `needed`.
    """
    if is_data_set(path):
        return _data_set_rows(path, wanted, needed)
    if files := parquet_files(path):
        return _parquet_rows(files, wanted, needed)
    if path.is_dir():
        raise BadInput(f"the folder {path} is not a data set folder and holds no parquet; {KINDS}")
    if not path.is_file():
        raise BadInput(f"no such file or folder: {path}; {KINDS}")
    return _text_rows(path) if path.suffix == ".txt" else _jsonl_rows(path)


def is_data_set(path: Path) -> bool:
    """Whether `save_to_disk` wrote this folder."""
    return any((path / name).is_file() for name in ("state.json", "dataset_dict.json"))


def parquet_files(path: Path) -> list[Path]:
    """The parquet file, or all that a folder holds, hidden ones left out; in the order of names."""
    if path.is_dir():
        files = path.rglob("*.parquet")
        return sorted(f for f in files if not f.relative_to(path).as_posix().startswith("."))
    return [path] if path.suffix == ".parquet" and path.is_file() else []


def open_parquet(file: Path) -> parquet.ParquetFile:
    """Raises BadInput for a damaged file."""
    try:
        return parquet.ParquetFile(file)
    except (ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise BadInput(
            f"{file} is not a parquet file: {reason}; copy it again, or leave it out"
        ) from None


def load_data_set(folder: Path) -> Any:
    """The `datasets.Dataset` that `save_to_disk` wrote into this folder. Raises BadInput."""
    try:
        from datasets import DatasetDict, load_from_disk
    except ImportError:
        raise BadInput(
            f"{folder} is a Hugging Face data set, and reading it needs the package datasets; "
            "install the extra 'train' or 'xcodec2', or give JSON lines or parquet"
        ) from None
    try:
        loaded = load_from_disk(str(folder))
    except (OSError, ValueError, KeyError, ArrowException) as error:
        raise BadInput(
            f"{folder} is not a data set folder ({error}); write it with save_to_disk"
        ) from None
    if isinstance(loaded, DatasetDict):
        raise BadInput(
            f"{folder} holds the splits {', '.join(map(str, loaded))}; "
            f"give one of them: {folder / str(next(iter(loaded)))}"
        )
    return loaded


def check_columns(place: object, names: Iterable[str], needed: str) -> None:
    """Raise BadInput unless the table at `place` has the column `needed`."""
    if needed not in names:
        raise BadInput(
            f"{place} has no column {needed!r} but {', '.join(names)}; rename the column"
        )


def _text_rows(path: Path) -> Iterator[Row]:
    for place, line in _lines(path):
        yield place, {"text": line.strip()}


def _jsonl_rows(path: Path) -> Iterator[Row]:
    for place, line in _lines(path):
        try:
            yield place, json.loads(line)
        except json.JSONDecodeError as error:
            raise BadInput(
                f"{place}: not JSON at column {error.colno} ({error.msg}): {shorten(line)}; "
                'write one {"text": "..."} a line, or name a file of plain text .txt'
            ) from None


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """(file:line, line); blank lines are skipped."""
    for number, line in enumerate(path.read_bytes().split(b"\n"), 1):
        place = f"{path}:{number}"
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise BadInput(
                f"{place}: byte {line[error.start]:#04x} at column {error.start + 1} is not UTF-8; "
                "save the file as UTF-8"
            ) from None
        if text.strip():
            yield place, text


def _parquet_rows(
    files: Sequence[Path], wanted: Sequence[str], needed: str | None
) -> Iterator[Row]:
    for file in files:
        with open_parquet(file) as table:
            columns = [name for name in table.schema_arrow.names if name in wanted]
            if needed is not None:
                check_columns(file, table.schema_arrow.names, needed)
            number = 0
            for batch in table.iter_batches(columns=columns):
                for row in batch.to_pylist():
                    yield f"{file}: row {number}", row
                    number += 1


def _data_set_rows(folder: Path, wanted: Sequence[str], needed: str | None) -> Iterator[Row]:
    loaded = load_data_set(folder)
    if needed is not None:
        check_columns(folder, loaded.column_names, needed)
    columns = [name for name in loaded.column_names if name in wanted]
    for number, row in enumerate(cast("Iterable[object]", loaded.select_columns(columns))):
        yield f"{folder}: row {number}", row
