"""Rows of a data source: JSON lines, text, a table, parquet, a Hugging Face data set.

Each row comes with its place, so that an error can name it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from pyarrow import parquet

from ttsrl.data.fields import Keys, typed
from ttsrl.errors import BadInput, reason_of, shorten
from ttsrl.lines.folders import visible_files
from ttsrl.lines.json_lines import json_objects
from ttsrl.lines.tables import DELIMITER_OF, header_of, table_rows
from ttsrl.lines.text import lines_of, suffix_of

Row = tuple[str, dict[str, Any]]
"""(place in the source, what stands there)."""

KINDS = (
    "give JSON lines, plain text (.txt, one text per line), a table with a header (.csv, .tsv), "
    "parquet (a file, or a folder of files), or a Hugging Face data set folder"
)


def read_rows(path: Path, keys: Keys, needed: str | None = None) -> Iterator[Row]:
    """The wanted fields of all rows, in their order, under their own names.

    Raises BadInput for what cannot be read, for a table without the field `needed`, and as
    `Keys.of` does.
    """
    if is_data_set(path):
        return _data_set_rows(path, keys, needed)
    if files := parquet_files(path):
        return _parquet_rows(files, keys, needed)
    if path.is_dir():
        raise BadInput(f"the folder {path} is not a data set folder and holds no parquet; {KINDS}")
    if not path.is_file():
        raise BadInput(f"no such file or folder: {path}; {KINDS}")
    match suffix_of(path):
        case ".txt":
            return ((place, {"text": line.strip()}) for place, line in lines_of(path))
        case ".csv" | ".tsv" as suffix:
            delimiter = DELIMITER_OF[suffix]
            columns_of(path, header_of(path, delimiter), keys, needed)
            rows = ((place, typed(row)) for place, row in table_rows(path, delimiter))
        case _:
            rows = json_objects(path, '{"text": "..."}', ", or name a file of plain text .txt")
    return ((place, _fields(place, row, keys, needed)) for place, row in rows)


def _fields(place: str, row: Mapping[str, Any], keys: Keys, needed: str | None) -> dict[str, Any]:
    if needed is not None and not keys.has(needed, row):
        raise BadInput(
            f"{place}: {shorten(row)} has no key {needed!r}; name what is to be spoken {needed!r}"
        )
    return keys.of(place, row)


def is_data_set(path: Path) -> bool:
    """Whether `save_to_disk` wrote this folder."""
    return any((path / name).is_file() for name in ("state.json", "dataset_dict.json"))


def parquet_files(path: Path, *, corpus: bool = False) -> list[Path]:
    """The parquet file, or all that a folder holds, hidden ones left out; in the order of names.

    `corpus`: a metadata.parquet describes the recordings beside it, and is not one of them.
    """
    if path.is_dir():
        files = [f for f in visible_files(path) if f.suffix.lower() == ".parquet"]
        return [f for f in files if not (corpus and f.name == "metadata.parquet")]
    return [path] if path.suffix.lower() == ".parquet" and path.is_file() else []


def open_parquet(file: Path) -> parquet.ParquetFile:
    """Raises BadInput for a damaged file."""
    try:
        return parquet.ParquetFile(file)
    except Exception as error:
        raise BadInput(
            f"{file} is not a parquet file: {reason_of(error)}; copy it again, or leave it out"
        ) from None


def damaged(file: Path, error: Exception) -> BadInput:
    """What to raise where a table cannot be read, or a part of it.

    What Arrow raises in damaged bytes has no common class: SystemError, UnicodeDecodeError, ...
    """
    return BadInput(f"{file} is damaged: {reason_of(error)}; copy it again, or leave it out")


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
    except Exception as error:
        raise BadInput(
            f"{folder} is not a data set folder ({reason_of(error)}); write it with save_to_disk"
        ) from None
    if isinstance(loaded, DatasetDict):
        raise BadInput(
            f"{folder} holds the splits {', '.join(map(str, loaded))}; "
            f"give one of them: {folder / str(next(iter(loaded)))}"
        )
    return loaded


def columns_of(
    place: object, names: Sequence[str], keys: Keys, needed: str | None
) -> dict[str, str]:
    """Field -> column of a table. Raises BadInput unless it has the field `needed`."""
    columns = keys.names(place, names)
    if needed is not None and needed not in columns:
        wanted = keys.columns.get(needed, needed)
        raise BadInput(
            f"{place} has no column {wanted!r} but {', '.join(names)}; rename the column"
        )
    return columns


def read_parquet(file: Path) -> Iterator[Row]:
    """All rows of one file that holds no audio. Raises BadInput naming the file."""
    with open_parquet(file) as table:
        for number, row in enumerate(_table_rows(file, table, table.schema_arrow.names)):
            yield f"{file}: row {number}", row


def _parquet_rows(files: Sequence[Path], keys: Keys, needed: str | None) -> Iterator[Row]:
    for file in files:
        with open_parquet(file) as table:
            columns = columns_of(file, table.schema_arrow.names, keys, needed)
            for number, row in enumerate(_table_rows(file, table, list(columns.values()))):
                yield f"{file}: row {number}", {f: row[name] for f, name in columns.items()}


def _table_rows(
    file: Path, table: parquet.ParquetFile, columns: Sequence[str]
) -> Iterator[dict[str, Any]]:
    try:
        for batch in table.iter_batches(columns=list(columns)):
            yield from batch.to_pylist()
    except Exception as error:
        raise damaged(file, error) from None


def _data_set_rows(folder: Path, keys: Keys, needed: str | None) -> Iterator[Row]:
    loaded = load_data_set(folder)
    columns = columns_of(folder, loaded.column_names, keys, needed)
    chosen = cast("Iterable[dict[str, Any]]", loaded.select_columns(list(columns.values())))
    try:
        for number, row in enumerate(chosen):
            yield f"{folder}: row {number}", {field: row[name] for field, name in columns.items()}
    except Exception as error:
        raise damaged(folder, error) from None
