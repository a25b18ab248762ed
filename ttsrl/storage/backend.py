"""What publishing and pulling ask of a place that keeps objects."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

from ttsrl.storage.local import LocalFile
from ttsrl.storage.manifest import FileEntry
from ttsrl.storage.transfer import Transfer


@dataclass(frozen=True)
class Stat:
    """An object as it is now."""

    size: int
    """Bytes."""
    version: str
    """Changes when the content does."""


class Backend(Protocol):
    """Objects by key; keys are relative POSIX paths."""

    def address(self, key: str) -> str:
        """The key as a user would write it."""
        ...

    def read(self, key: str) -> bytes | None:
        """A small object; None if there is none."""
        ...

    def write(self, key: str, data: bytes) -> None:
        """Write a small object whole or not at all, over what is there."""
        ...

    def create(self, key: str, data: bytes) -> None:
        """Write a small object; ObjectExistsError if there is one."""
        ...

    def delete(self, key: str) -> None:
        """Remove an object, if it is there."""
        ...

    def list_keys(self, prefix: str) -> Iterator[str]:
        """All keys below the folder `prefix`."""
        ...

    def stat(self, key: str) -> Stat | None:
        """Size and version; None if there is no such object."""
        ...

    def lists(self, key: str, size: int) -> bool:
        """Whether the object stands in the list of its folder with this size in bytes.

        What was read of it is its content only then: whatever stands between may answer instead.
        """
        ...

    def compare(self, key: str, entry: FileEntry) -> Literal["absent", "same", "different"]:
        """Whether the object has the content of `entry`; what cannot be told is different."""
        ...

    def upload(self, source: LocalFile, key: str, transfer: Transfer) -> None:
        """Bring a file whole or not at all; ObjectExistsError if there is an object.

        BadInput if the file has changed since it was hashed.
        """
        ...

    def fetch(self, key: str, start: int, length: int, version: str | None) -> Iterator[bytes]:
        """Bytes [start, start + length) in chunks; ObjectChangedError if the version is gone.

        No version is any version: right only where one answer brings the whole object.
        """
        ...


def join(prefix: str, name: str) -> str:
    """Key of `name` below `prefix`; the empty prefix is the root."""
    return f"{prefix}/{name}" if prefix else name
