"""Files and folders that are there whole or not at all: written elsewhere, then renamed."""

from __future__ import annotations

import os
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory


@contextmanager
def temporary_beside(target: Path) -> Generator[Path]:
    """A free, hidden name in the folder of `target`; what still has it at the end is removed."""
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}.tmp")
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replace_file(target: Path, *, durable: bool = False) -> Generator[Path]:
    """Gives the name to write to; at the end that file becomes `target`, on an error it is removed.

    With `durable`, `target` outlives a power cut from then on. Raises OSError.
    """
    with temporary_beside(target) as temporary:
        yield temporary
        if durable:
            flush(temporary)
        temporary.replace(target)
    if durable:
        flush(target.parent)


def replace_text(target: Path, text: str) -> None:
    """Write `text` as UTF-8. Raises OSError."""
    with replace_file(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def new_folder(target: Path) -> Generator[Path]:
    """Gives an empty folder to fill; at the end it becomes `target`, on an error it is removed.

    Raises OSError where `target` is a file, or a folder that is not empty.
    """
    with TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as scratch:
        folder = Path(scratch) / target.name
        folder.mkdir()
        yield folder
        folder.rename(target)


def flush(path: Path) -> None:
    """Wait until a file's bytes, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
