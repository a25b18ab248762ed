"""Storage in a plain folder: for laptops, tests and shared file systems."""

from __future__ import annotations

import errno
import glob
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from ttsrl.storage.atomic import flush, replace_file, temporary_beside
from ttsrl.storage.backend import Stat
from ttsrl.storage.errors import ObjectChangedError, ObjectExistsError
from ttsrl.storage.local import LocalFile
from ttsrl.storage.manifest import FileEntry, entry_of
from ttsrl.storage.transfer import Transfer

CHUNK_BYTES = 1 << 20


class FolderBackend:
    """Objects are files; each arrives under a hidden name, is flushed, then gets its own name."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def address(self, key: str) -> str:
        return str(self.root / key)

    def read(self, key: str) -> bytes | None:
        try:
            return (self.root / key).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def write(self, key: str, data: bytes) -> None:
        target = self.root / key
        target.parent.mkdir(parents=True, exist_ok=True)
        with replace_file(target, durable=True) as temporary:
            temporary.write_bytes(data)

    def create(self, key: str, data: bytes) -> None:
        target = self.root / key
        target.parent.mkdir(parents=True, exist_ok=True)
        with temporary_beside(target) as temporary:
            temporary.write_bytes(data)
            _name_once(temporary, target)

    def delete(self, key: str) -> None:
        (self.root / key).unlink(missing_ok=True)

    def list_keys(self, prefix: str) -> Iterator[str]:
        for parent, _, names in os.walk(self.root / prefix):
            for name in names:
                yield Path(parent, name).relative_to(self.root).as_posix()

    def stat(self, key: str) -> Stat | None:
        try:
            return _stat((self.root / key).stat())
        except (FileNotFoundError, NotADirectoryError):
            return None

    def lists(self, key: str, size: int) -> bool:
        stat = self.stat(key)
        return stat is not None and stat.size == size

    def compare(self, key: str, entry: FileEntry) -> Literal["absent", "same", "different"]:
        stat = self.stat(key)
        if stat is None:
            return "absent"
        same = stat.size == entry.size and entry_of(self.root / key) == entry
        return "same" if same else "different"

    def upload(self, source: LocalFile, key: str, transfer: Transfer) -> None:
        target = self.root / key
        target.parent.mkdir(parents=True, exist_ok=True)
        with transfer.whole() as advance, temporary_beside(target) as temporary:
            with source.path.open("rb") as original, temporary.open("xb") as file:
                left = source.entry.size  # not its end: a log in use may never have one
                while chunk := original.read(min(CHUNK_BYTES, left)):
                    file.write(chunk)
                    left -= len(chunk)
                    advance(len(chunk))
            source.check_unchanged()
            _name_once(temporary, target)
        # What killed publishers left; one that still writes has lost, as the name is taken.
        for litter in target.parent.glob(f".{glob.escape(target.name)}.*.tmp"):
            litter.unlink(missing_ok=True)

    def fetch(self, key: str, start: int, length: int, version: str | None) -> Iterator[bytes]:
        try:
            file = (self.root / key).open("rb")
        except FileNotFoundError:
            raise ObjectChangedError(key) from None
        with file:
            file.seek(start)
            left = length
            while left:
                chunk = file.read(min(CHUNK_BYTES, left))
                now = _stat(os.fstat(file.fileno())).version
                if not chunk or version not in (None, now):
                    raise ObjectChangedError(key)
                left -= len(chunk)
                yield chunk


def _name_once(temporary: Path, target: Path) -> None:
    """Give a finished file its name, for good, unless the name is taken."""
    try:
        flush(temporary)
        os.link(temporary, target)
    except OSError as error:
        if target.exists():
            raise ObjectExistsError(str(target)) from None
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
        temporary.rename(target)  # a file system without hard links
    flush(target.parent)


def _stat(status: os.stat_result) -> Stat:
    return Stat(status.st_size, f"{status.st_ino}-{status.st_size}-{status.st_mtime_ns}")
