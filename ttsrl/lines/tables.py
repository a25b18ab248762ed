"""Tables in text files: a header line, then values between commas, tabs or bars."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from ttsrl.errors import BadInput, shorten
from ttsrl.lines.text import numbered_lines

DELIMITER_OF = {".csv": ",", ".tsv": "\t"}
"""Ending of a table's name -> what stands between its values."""


def table_rows(file: Path, delimiter: str) -> Iterator[tuple[str, dict[str, str]]]:
    """(file:line, column -> value) of every row below the header; blank lines are skipped.

    A file with commas may have semicolons instead, if its header has no comma.
    Between commas a value may stand in double quotes, and then hold commas, line ends and doubled
    quotes (RFC 4180). Between tabs and bars a double quote is a character like any other, as Common
    Voice and LJSpeech write them. Raises BadInput naming the line of a row with more or fewer
    values than the header, and for a column that stands there twice.
    """
    header: list[str] | None = None
    for place, values in _records(file, delimiter):
        if header is None:
            header = [name.strip() for name in values]
            if twice := next((name for name in header if name and header.count(name) > 1), None):
                raise BadInput(f"{place}: the column {twice!r} stands twice; keep one")
            continue
        if len(values) != len(header):
            raise BadInput(
                f"{place}: {len(values)} values and {len(header)} columns: "
                f"{shorten(delimiter.join(values))}; "
                + ("quote values that hold commas" if delimiter == "," else "correct the line")
            )
        yield place, dict(zip(header, values, strict=True))


def header_of(file: Path, delimiter: str) -> list[str]:
    """The first row, which may be a header. Raises BadInput for what cannot be read."""
    return next(([v.strip() for v in values] for _, values in _records(file, delimiter)), [])


def _records(file: Path, delimiter: str) -> Iterator[tuple[str, list[str]]]:
    if delimiter != ",":
        for number, line in numbered_lines(file):
            if line.strip():
                yield f"{file}:{number}", line.split(delimiter)
        return
    first = next((line for _, line in numbered_lines(file) if line.strip()), "")
    if ";" in first and "," not in first:  # where a comma is the decimal mark
        delimiter = ";"
    lines = (f"{line}\n" for _, line in numbered_lines(file))
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        number = reader.line_num + 1
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise BadInput(
                f"{file}:{number}: not CSV: {error}; put values that hold quotes, commas or line "
                "ends between double quotes, and double the quotes in them"
            ) from None
        if any(value.strip() for value in values):
            yield f"{file}:{number}", values
