"""Pull a published folder: in parallel, resumable by part, verified, and seen only when whole."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from ttsrl.errors import BadInput
from ttsrl.storage.atomic import flush
from ttsrl.storage.backend import Backend, join
from ttsrl.storage.errors import ObjectChangedError, StorageError, plain_disk_errors
from ttsrl.storage.journal import Journal
from ttsrl.storage.local import list_files
from ttsrl.storage.manifest import MANIFEST, FileEntry, Manifest, entry_of
from ttsrl.storage.stored import read_manifest
from ttsrl.storage.transfer import PART_BYTES, ProgressCallback, Transfer

FILE_ATTEMPTS = 2
"""Tries of one file whose object changes, or whose bytes turn out wrong."""


def pull(
    backend: Backend,
    prefix: str,
    folder: Path,
    progress: ProgressCallback | None = None,
    *,
    replace: bool = False,
    wanted: Callable[[str], bool] = lambda _: True,
) -> None:
    """Bring the published folder `prefix` to the local `folder`, which appears at the end.

    Of its files only those whose path is `wanted`, and at least one must be.

    Until then everything lies beside it, in `.<name>.pulling`, where the next pull resumes.
    Nothing is fetched if `folder` already has this content. BadInput if nothing is published there
    or `folder` holds something else and may not be replaced; StorageError if storage contradicts
    the manifest, or the disk is full.
    """
    folder = folder.absolute()
    staging = folder.with_name(f".{folder.name}.pulling")
    with plain_disk_errors(), Transfer(progress) as transfer:
        manifest = _read_manifest(backend, prefix).only(wanted)
        transfer.total = manifest.size
        if _is_there(folder, manifest, transfer):
            shutil.rmtree(staging, ignore_errors=True)
            return
        if not replace and _holds_something(folder):
            raise BadInput(
                f"{folder} exists and is not what is published; remove it, or pull to another "
                "folder"
            )
        with Journal(staging, manifest.digest) as journal:
            _check_space(staging, journal, manifest)
            one = _Pull(backend, prefix, manifest, journal, transfer)
            transfer.files(one.fetch_file, manifest.files)
            if os.path.lexists(folder):
                folder.rename(journal.replaced)
            journal.files.rename(folder)
            flush(folder.parent)
            shutil.rmtree(staging)


def complete_below(backend: Backend, prefix: str) -> list[str]:
    """The published prefixes below `prefix`, sorted: those that have a manifest."""
    keys = backend.list_keys(prefix)
    return sorted(k.removesuffix(f"/{MANIFEST}") for k in keys if k.endswith(f"/{MANIFEST}"))


def _read_manifest(backend: Backend, prefix: str) -> Manifest:
    if (manifest := read_manifest(backend, prefix)) is not None:
        return manifest
    around = prefix.rpartition("/")[0]
    complete = complete_below(backend, prefix) or complete_below(backend, around)
    known = ", ".join(backend.address(k) for k in complete[-10:])
    raise BadInput(
        f"nothing complete is published at {backend.address(prefix)}; "
        + (f"complete there: {known}" if known else f"nor in {backend.address(around)}")
    )


def _is_there(folder: Path, manifest: Manifest, transfer: Transfer) -> bool:
    """Whether the local folder has this content, no file more and none less."""
    if not folder.is_dir():
        return False
    try:
        there = list_files(folder)
    except BadInput:  # links and the like, which are never published
        return False
    entries = transfer.files(entry_of, there.values())
    if dict(zip(there, entries, strict=True)) != manifest.files:
        return False
    transfer.advance(manifest.size)
    return True


def _holds_something(folder: Path) -> bool:
    empty = folder.is_dir() and not any(folder.iterdir())
    return os.path.lexists(folder) and not empty


def _check_space(staging: Path, journal: Journal, manifest: Manifest) -> None:
    here = sum(
        file.stat().st_blocks * 512
        for tree in (journal.files, journal.parts)
        for file in list_files(tree).values()
    )
    needed = manifest.size - here
    free = shutil.disk_usage(staging).free
    if needed > free:
        raise StorageError(
            f"the pull needs {needed / 2**20:,.0f} MiB more, but the disk of {staging.parent} has "
            f"{free / 2**20:,.0f} MiB free; free some, or pull to another disk"
        )


@dataclass(frozen=True)
class _Pull:
    backend: Backend
    prefix: str
    manifest: Manifest
    journal: Journal
    transfer: Transfer

    def fetch_file(self, path: str) -> None:
        """Bring one file to the verified ones; parts from a former pull are kept."""
        key, entry = join(self.prefix, path), self.manifest.files[path]
        partial, whole = self.journal.parts / path, self.journal.files / path
        if whole.is_file() and entry_of(whole) == entry:
            self.transfer.advance(entry.size)
            return
        for attempt in range(FILE_ATTEMPTS):
            # One part is of one version anyway: folders of many small files are half the requests.
            alone = attempt == 0 and entry.size <= PART_BYTES
            version = None if alone else self._version(key, entry)
            try:
                with self.transfer.whole() as advance:
                    if self._fetch_parts(path, entry, version, advance) != entry.sha256:
                        raise ObjectChangedError(key)
            except ObjectChangedError:
                self.journal.forget(path)
                continue
            whole.parent.mkdir(parents=True, exist_ok=True)
            partial.rename(whole)
            return
        raise _contradiction(self.backend, key, f"its SHA-256 is not {entry.sha256}")

    def _version(self, key: str, entry: FileEntry) -> str:
        stat = self.backend.stat(key)
        if stat is None:
            raise _contradiction(self.backend, key, "it is missing")
        if stat.size != entry.size:
            raise _contradiction(self.backend, key, f"{stat.size} bytes instead of {entry.size}")
        return stat.version

    def _fetch_parts(
        self, path: str, entry: FileEntry, version: str | None, advance: Callable[[int], None]
    ) -> str:
        """Bring the parts that have not arrived; returns the SHA-256 of the whole file."""
        partial = self.journal.parts / path
        partial.parent.mkdir(parents=True, exist_ok=True)
        if not partial.is_file():
            self.journal.forget(path)
        arrived = self.journal.arrived(path, version)
        descriptor = os.open(partial, os.O_RDWR | os.O_CREAT, 0o666)

        def length(part: int) -> int:
            return min(PART_BYTES, entry.size - part * PART_BYTES)

        def fetch_part(part: int) -> None:
            if part in arrived:
                advance(length(part))
                return
            at = part * PART_BYTES
            for chunk in self.backend.fetch(join(self.prefix, path), at, length(part), version):
                _write_at(descriptor, chunk, at)
                at += len(chunk)
                advance(len(chunk))
            self.journal.add(path, version, part)

        try:
            os.ftruncate(descriptor, entry.size)
            parts = range(-(-entry.size // PART_BYTES))
            digest = hashlib.sha256()
            with closing(self.transfer.parts(fetch_part, parts)) as fetched:
                for part, _ in zip(parts, fetched, strict=True):  # hash while others arrive
                    digest.update(os.pread(descriptor, PART_BYTES, part * PART_BYTES))
            os.fsync(descriptor)
            return digest.hexdigest()
        finally:
            os.close(descriptor)


def _write_at(descriptor: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:  # a nearly full disk takes less than it is given
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def _contradiction(backend: Backend, key: str, what: str) -> StorageError:
    return StorageError(
        f"{backend.address(key)} contradicts its {MANIFEST}: {what}; it was changed after it was "
        "published, or something between changes it: look at it with another S3 client, then "
        "publish it again under another name"
    )
