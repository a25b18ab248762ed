"""MANIFEST.json: what a published folder holds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Self

from pydantic import Field, ValidationError, field_validator

from ttsrl.base import Strict

MANIFEST = "MANIFEST.json"
CLAIM = ".publishing"
"""Beside the files while they are published: the digest of the manifest to come."""


class FileEntry(Strict):
    """One file of a published folder."""

    size: int = Field(ge=0)
    """Bytes."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Hexadecimal."""


class Manifest(Strict):
    """Relative POSIX path -> size and SHA-256, for each file of a published folder."""

    files: dict[str, FileEntry] = Field(min_length=1)

    @field_validator("files")
    @classmethod
    def _paths_stay_inside(cls, files: dict[str, FileEntry]) -> dict[str, FileEntry]:
        for path in files:
            normal = PurePosixPath(path)
            if (
                str(normal) != path
                or normal.is_absolute()
                or ".." in normal.parts
                or path in ("", ".", MANIFEST, CLAIM)
                or "\0" in path
            ):
                raise ValueError(f"unsafe path {path!r}")
        return files

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(entry.size for entry in self.files.values())

    @property
    def digest(self) -> str:
        """SHA-256 of the manifest: the identity of a folder's content."""
        return hashlib.sha256(self.to_json()).hexdigest()

    def only(self, wanted: Callable[[str], bool]) -> Self:
        """The same without the files whose path is not `wanted`."""
        return type(self)(files={path: e for path, e in self.files.items() if wanted(path)})

    def to_json(self) -> bytes:
        """The bytes of MANIFEST.json, sorted by path."""
        return (json.dumps(self.model_dump(), sort_keys=True, indent=1) + "\n").encode()

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read MANIFEST.json; ValueError says why it is damaged or unsafe."""
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            raise ValueError(first["msg"]) from None


def entry_of(path: Path) -> FileEntry:
    """Size and SHA-256 of a local file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return FileEntry(size=file.tell(), sha256=digest)
