"""The step log, read a few lines at a time: it may be long, and training writes to it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Generic, TypeVar

from ttsrl.records.record import Record, parse

R = TypeVar("R", bound=Record)


class Lines(Generic[R]):
    """The records of a file that grows, each once; from its begin where it is written anew."""

    def __init__(self, path: Path, kind: type[R]) -> None:
        self._path, self._kind = path, kind
        self._offset = 0
        self._file = 0
        self._ahead: R | None = None

    def peek(self) -> R | None:
        """The next record; None while there is none. Raises BadInput."""
        if self._ahead is None:
            self._ahead = self._read()
        return self._ahead

    def take(self) -> None:
        """Go on to the record after that."""
        self._ahead = None

    def _read(self) -> R | None:
        try:
            with self._path.open("rb") as file:
                now = os.fstat(file.fileno())
                if now.st_ino != self._file or now.st_size < self._offset:
                    # a resumed run replaces the log by a shorter one
                    self._file, self._offset = now.st_ino, 0
                file.seek(self._offset)
                line = file.readline()
        except FileNotFoundError:
            return None
        if not line.endswith(b"\n"):
            return None
        self._offset += len(line)
        return parse(self._kind, line, self._path)
