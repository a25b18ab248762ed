"""Base of every record, and its way to disk and back: JSON, one record per line or per file.

Keys that this version does not know are ignored: a newer version may have written them, and a
reader that refused them could not follow a run that is upgraded. A key that is missing takes the
field's default where earlier versions did not write it; anything else that is missing is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from ttsrl.errors import BadInput


class Record(BaseModel):
    """A record; its field names are the keys on disk. Numbers may be NaN, as a diverged loss is."""

    model_config = ConfigDict(extra="ignore", frozen=True, use_attribute_docstrings=True)


R = TypeVar("R", bound=Record)
T = TypeVar("T")


def to_line(record: Record) -> str:
    """A record as one line of JSON, without the line end."""
    return json.dumps(record.model_dump(), ensure_ascii=False)


def parse(kind: type[R], text: str | bytes, place: object) -> R:
    """The record that a JSON text holds; `place` says where it stands. Raises BadInput."""
    return validated(_adapter(kind), text, place)


def validated(adapter: TypeAdapter[T], text: str | bytes, place: object) -> T:
    """The same for a type that is not one class, such as a union of records. Raises BadInput."""
    try:
        return adapter.validate_json(text)
    except ValidationError as error:
        problem = error.errors()[0]
        key = "".join(f"{part}: " for part in [".".join(map(str, problem["loc"]))] if part)
        raise BadInput(
            f"{place}: {key}{problem['msg']}; what wrote it was stopped or is not ttsrl: write it "
            "again, or remove it"
        ) from None


def whole_lines(path: Path) -> list[str]:
    """Lines of a file that may still be written to: what follows the last line end is left out.

    Only a line feed ends a line: JSON strings may hold what Unicode also takes for a line end. No
    lines where there is no file.
    """
    if not path.is_file():
        return []
    *lines, _ = path.read_bytes().split(b"\n")
    return [_decoded(line, f"{path}:{number}") for number, line in enumerate(lines, 1)]


def read_lines(kind: type[R], path: Path) -> list[R]:
    """The records in the whole lines of a file; none where there is no file. Raises BadInput."""
    return [
        parse(kind, line, f"{path}:{number}") for number, line in enumerate(whole_lines(path), 1)
    ]


def write_lines(path: Path, records: Iterable[Record]) -> None:
    """Write a file with one record per line, over what is there."""
    path.write_text("".join(f"{to_line(record)}\n" for record in records), encoding="utf-8")


def append_lines(path: Path, records: Sequence[Record]) -> None:
    """Append the records whole, in one write, so that a reader may follow the file."""
    with path.open("a", encoding="utf-8") as file:
        file.write("".join(f"{to_line(record)}\n" for record in records))


def read_file(kind: type[R], path: Path) -> R | None:
    """The record that a file holds; None where there is no file. Raises BadInput."""
    return parse(kind, path.read_bytes(), path) if path.is_file() else None


def to_text(record: Record) -> str:
    """A record as the whole content of a file: indented JSON."""
    return json.dumps(record.model_dump(), indent=2, ensure_ascii=False) + "\n"


def _decoded(line: bytes, place: str) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise BadInput(
            f"{place}: byte {line[error.start]:#04x} is not UTF-8; what wrote it was stopped or is "
            "not ttsrl: write it again, or remove it"
        ) from None


@cache
def _adapter(kind: type[R]) -> TypeAdapter[R]:
    return TypeAdapter(kind)
