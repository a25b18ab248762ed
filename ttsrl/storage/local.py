"""The local folder that is published: its files, and whether they keep still meanwhile."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from ttsrl.errors import BadInput
from ttsrl.storage.errors import StorageError
from ttsrl.storage.manifest import CLAIM, MANIFEST, FileEntry, Manifest, entry_of
from ttsrl.storage.transfer import Transfer


@dataclass(frozen=True)
class LocalFile:
    """A file as it was when it was hashed."""

    path: Path
    entry: FileEntry
    modified_ns: int

    @classmethod
    def of(cls, path: Path) -> Self:
        """Hash a file."""
        modified_ns = path.stat().st_mtime_ns  # before the hash: a change during it shows later
        return cls(path, entry_of(path), modified_ns)

    def check_unchanged(self) -> None:
        """BadInput if the file has been written to since."""
        now = self.path.stat()
        if (now.st_size, now.st_mtime_ns) != (self.entry.size, self.modified_ns):
            raise BadInput(
                f"{self.path} changed while it was published; publish it when its writer is done"
            )


Part = Mapping[str, LocalFile]
"""Relative POSIX path -> file: what one machine holds of a folder that is published."""


def scan(folder: Path, transfer: Transfer) -> Part:
    """Hash all files below a folder; BadInput if one cannot be published. No folder, no files."""
    paths = list_files(folder) if folder.is_dir() else {}
    reserved = sorted({MANIFEST, CLAIM} & set(paths))
    if reserved:
        raise BadInput(f"{folder / reserved[0]} has a name that storage uses itself; rename it")
    hashed = transfer.files(LocalFile.of, paths.values())
    return dict(zip(paths, hashed, strict=True))


def manifest_of(parts: Iterable[Part]) -> Manifest:
    """The manifest of the parts together; StorageError where two have different files by a name."""
    entries: dict[str, FileEntry] = {}
    for part in parts:
        for path, file in part.items():
            if entries.setdefault(path, file.entry) != file.entry:
                raise StorageError(
                    f"two machines hold different files {file.path}; "
                    "one of them is left from an earlier attempt: remove it there"
                )
    return Manifest(files=entries)


def list_files(folder: Path) -> dict[str, Path]:
    """Relative POSIX path -> file, for all files below `folder`, sorted.

    Links to files count as their content. BadInput for what cannot be published: links to folders,
    dangling links, sockets.
    """
    files: dict[str, Path] = {}
    for parent, folders, names in os.walk(folder, onerror=_raise):
        linked = [f for f in folders if Path(parent, f).is_symlink()]
        if linked:
            raise BadInput(f"{Path(parent, linked[0])} is a link to a folder; put a copy there")
        for name in names:
            path = Path(parent, name)
            if not path.is_file():
                raise BadInput(f"{path} is not a regular file; remove it")
            files[path.relative_to(folder).as_posix()] = path
    return dict(sorted(files.items()))


def _raise(error: OSError) -> None:
    raise error
