"""Rows of a data source: JSON lines, text, a table, parquet, a Hugging Face data set.

Each row comes with its place, so that an error can name it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

from pyarrow import ArrowException, parquet

from ttsrl.errors import BadInput, reason_of
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
    match suffix_of(path):
        case ".txt":
            return ((place, {"text": line.strip()}) for place, line in lines_of(path))
        case ".csv" | ".tsv" as suffix:
            return _table_rows(path, DELIMITER_OF[suffix], needed)
        case _:
            return json_objects(path, '{"text": "..."}', ", or name a file of plain text .txt")


def _table_rows(path: Path, delimiter: str, needed: str | None) -> Iterator[Row]:
    if needed is not None:
        check_columns(path, header_of(path, delimiter), needed)
    return table_rows(path, delimiter)


def is_data_set(path: Path) -> bool:
    """Whether `save_to_disk` wrote this folder."""
    return any((path / name).is_file() for name in ("state.json", "dataset_dict.json"))


def parquet_files(path: Path) -> list[Path]:
    """The parquet file, or all that a folder holds, hidden ones left out; in the order of names."""
    if path.is_dir():
        return [f for f in visible_files(path) if f.suffix.lower() == ".parquet"]
    return [path] if path.suffix.lower() == ".parquet" and path.is_file() else []


def open_parquet(file: Path) -> parquet.ParquetFile:
    """Raises BadInput for a damaged file."""
    try:
        return parquet.ParquetFile(file)
    except (ArrowException, OSError) as error:
        raise BadInput(
            f"{file} is not a parquet file: {reason_of(error)}; copy it again, or leave it out"
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
    for number, row in enumerate(cast("Iterable[dict[str, Any]]", loaded.select_columns(columns))):
        yield f"{folder}: row {number}", row
