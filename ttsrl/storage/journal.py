"""What has arrived of a pull, so that a killed one can resume."""

from __future__ import annotations

import fcntl
import json
import shutil
import threading
from pathlib import Path
from typing import Any, Self

from ttsrl.storage.errors import StorageError

_Line = dict[str, Any]


class Journal:
    """Finished parts by file and version, one JSON line each; one pull at a time may hold it.

    The first line names the manifest: what arrived for another one is thrown away.
    """

    def __init__(self, staging: Path, manifest_digest: str) -> None:
        self.files = staging / "files"
        """Whole, verified files."""
        self.parts = staging / "parts"
        """Files of which parts have arrived, each at its place."""
        self.replaced = staging / "replaced"
        """What the pulled folder takes the place of."""
        staging.mkdir(parents=True, exist_ok=True)
        self._file = (staging / "journal.jsonl").open("a+b")
        self._lock = threading.Lock()
        self._arrived: dict[str, tuple[str | None, set[int]]] = {}
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise StorageError(
                f"another pull into {staging} is running; wait for it, or end it"
            ) from None
        header: _Line = {"manifest": manifest_digest}
        lines = self._read()
        if not lines or lines[0] != header:
            for folder in (self.files, self.parts, self.replaced):
                shutil.rmtree(folder, ignore_errors=True)
            self._file.truncate(0)
            self._append(header)
            lines = [header]
        for line in lines[1:]:
            self._note(line)
        self.files.mkdir(exist_ok=True)
        self.parts.mkdir(exist_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def arrived(self, path: str, version: str | None) -> set[int]:
        """Numbers of the parts that are there of this version of the file."""
        known, parts = self._arrived.get(path, (None, set[int]()))
        return set(parts) if known == version else set()

    def add(self, path: str, version: str | None, part: int) -> None:
        """Note a part after its bytes were written; a new version drops the parts of the old."""
        self._write({"path": path, "version": version, "part": part})

    def forget(self, path: str) -> None:
        """Drop all parts of a file."""
        self._write({"path": path})

    def _note(self, line: _Line) -> None:
        path = line["path"]
        if "part" not in line:
            self._arrived.pop(path, None)
            return
        known, parts = self._arrived.get(path, (None, set[int]()))
        if known != line["version"]:
            parts = set[int]()
        self._arrived[path] = (line["version"], parts | {line["part"]})

    def _read(self) -> list[_Line]:
        self._file.seek(0)
        whole, newline, torn = self._file.read().rpartition(b"\n")
        if torn:  # the kill came in the middle of a line
            self._file.truncate(len(whole + newline))
        return [json.loads(line) for line in whole.split(b"\n") if line]

    def _write(self, line: _Line) -> None:
        with self._lock:
            self._note(line)
            self._append(line)

    def _append(self, line: _Line) -> None:
        self._file.write(json.dumps(line).encode() + b"\n")
        self._file.flush()
