"""Lines of a text file, each with its place, so that an error can name it.

Only a line feed ends a line. What Unicode also takes for a line end (U+2028, U+2029, U+0085, and
the separators U+001C to U+001E) may stand inside a text, and `str.splitlines` would break there.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from ttsrl.errors import BadInput
from ttsrl.lines.kinds import HEAD, refuse_other_kinds

GZIP = b"\x1f\x8b"
"""How a compressed file begins, whatever its name."""
UTF_16 = (b"\xff\xfe", b"\xfe\xff")


def lines_of(file: Path) -> Iterator[tuple[str, str]]:
    """(file:line, line without its end) of every line that is not blank; a BOM is left out.

    Raises BadInput for a file that cannot be read, is not UTF-8, or is damaged gzip.
    """
    for number, line in numbered_lines(file):
        if line.strip():
            yield f"{file}:{number}", line


def numbered_lines(file: Path) -> Iterator[tuple[int, str]]:
    """(number from 1, line without its end) of every line, blank ones too. Raises BadInput."""
    try:
        with _opened(file) as content:
            for number, line in enumerate(content, 1):
                yield number, _decoded(line, f"{file}:{number}", number == 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise BadInput(f"{file} is damaged gzip: {error}; copy it again") from None
    except OSError as error:
        raise BadInput(f"{file} cannot be read: {error.strerror or error}") from None


def text_of(file: Path) -> str:
    """The whole content, line ends as line feeds. Raises BadInput as `lines_of` does."""
    return "\n".join(line for _, line in numbered_lines(file))


def suffix_of(file: Path) -> str:
    """`.txt` of texts.TXT and of texts.txt.gz: what a file's name says about its content."""
    name = file.name.lower().removesuffix(".gz")
    return Path(name).suffix


def _opened(file: Path) -> IO[bytes]:
    with file.open("rb") as content:
        head = content.read(HEAD)
    refuse_other_kinds(file, head)
    compressed = head.startswith(GZIP)
    return cast("IO[bytes]", gzip.open(file, "rb")) if compressed else file.open("rb")


def _decoded(line: bytes, place: str, first: bool) -> str:
    if first and line.startswith(UTF_16):
        raise BadInput(f"{place}: the file is UTF-16; save it as UTF-8")
    try:
        text = line.decode("utf-8-sig" if first else "utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(
            f"{place}: byte {line[error.start]:#04x} at column {error.start + 1} is not UTF-8; "
            "save the file as UTF-8"
        ) from None
    return text.removesuffix("\n").removesuffix("\r")
