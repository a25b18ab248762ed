"""Publish a folder under a prefix: files first, MANIFEST.json last, never two contents mixed.

Two publishers may meet, such as a trainer and the one that was taken for dead. A claim beside the
files says whose content they are: the newest claim wins, and a publisher that finds another's
stops. Files are never written over, only removed by the owner of the claim and written anew, so
that a late write of a former owner fails, where the server knows conditional writes; where it does
not, the manifest betrays the mixture to whoever pulls it. A publisher writes its claim before it
looks for a manifest, and its manifest before it looks at the claim: of two, one sees the other.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from ttsrl.errors import BadInput
from ttsrl.storage.backend import Backend, join
from ttsrl.storage.errors import (
    ObjectExistsError,
    StorageError,
    SupersededError,
    plain_disk_errors,
)
from ttsrl.storage.local import Part, manifest_of, scan
from ttsrl.storage.manifest import CLAIM, MANIFEST, Manifest
from ttsrl.storage.stored import read_manifest
from ttsrl.storage.transfer import ProgressCallback, Transfer

PLACE_ATTEMPTS = 5
"""Tries of one file against another publisher's writes."""
CLAIM_MAX_AGE_S = 1.0
"""How old a look at the claim may be where a write does no harm to another publisher's file."""


def publish(
    backend: Backend, prefix: str, folder: Path, progress: ProgressCallback | None = None
) -> None:
    """Upload what is missing, then the manifest; nothing to do if it is there with this content.

    BadInput if the prefix is finished with another content, StorageError if another publisher took
    the prefix over.
    """
    with plain_disk_errors(), Transfer(progress) as transfer:
        part = scan(folder, transfer)
        if not part:
            what = "holds no files" if folder.is_dir() else "is not a folder"
            raise BadInput(f"{folder} {what}; nothing to publish")
        manifest = manifest_of([part])
        transfer.total = manifest.size
        if not publish_parts(
            backend, prefix, manifest, lambda claim: _upload(backend, prefix, part, claim, transfer)
        ):
            transfer.advance(manifest.size)


def publish_parts(
    backend: Backend, prefix: str, manifest: Manifest, upload: Callable[[str], None]
) -> bool:
    """Let `upload(claim)` bring every file of the manifest, then write it.

    False if the prefix was finished with this content before: then nothing is uploaded. Raises as
    `publish` does.
    """
    if _is_finished(backend, prefix, manifest):
        return False
    claim = _Claim(backend, prefix, manifest.digest)
    claim.take()
    try:
        if not _is_finished(backend, prefix, manifest):
            upload(manifest.digest)
            _finish(backend, prefix, manifest, claim)
    except SupersededError:
        if not _is_finished(backend, prefix, manifest):
            raise StorageError(
                f"another publisher took over {backend.address(prefix)} with another content; "
                "stopped before anything was mixed"
            ) from None
    claim.release()
    return True


def upload_part(backend: Backend, prefix: str, part: Part, claim: str) -> None:
    """Upload one machine's files under the claim of the publisher; SupersededError if it fell."""
    with plain_disk_errors(), Transfer(None) as transfer:
        _upload(backend, prefix, part, claim, transfer)


class _Claim:
    def __init__(self, backend: Backend, prefix: str, digest: str) -> None:
        self._backend = backend
        self._key = join(prefix, CLAIM)
        self._digest = digest.encode()
        self._checked_at = 0.0

    def take(self) -> None:
        self._backend.write(self._key, self._digest)

    def check(self, max_age_s: float = 0.0) -> None:
        now = time.monotonic()
        if now - self._checked_at < max_age_s:
            return
        if self._backend.read(self._key) != self._digest:
            raise SupersededError
        self._checked_at = now

    def is_anothers(self) -> bool:
        return self._backend.read(self._key) not in (None, self._digest)

    def release(self) -> None:
        if not self.is_anothers():
            self._backend.delete(self._key)


def _is_finished(backend: Backend, prefix: str, manifest: Manifest) -> bool:
    there = read_manifest(backend, prefix)
    if there is None or there == manifest:
        return there is not None
    differing = sorted(
        path
        for path in there.files.keys() | manifest.files.keys()
        if there.files.get(path) != manifest.files.get(path)
    )
    raise BadInput(
        f"{backend.address(prefix)} is already published with another content ({len(differing)} "
        f"files differ, first {differing[0]}); publish under another name, or delete that first"
    )


def _upload(backend: Backend, prefix: str, part: Part, digest: str, transfer: Transfer) -> None:
    claim = _Claim(backend, prefix, digest)
    there = set(backend.list_keys(prefix))

    def place(path: str) -> None:
        key, file = join(prefix, path), part[path]
        for attempt in range(PLACE_ATTEMPTS):
            known_absent = attempt == 0 and key not in there
            state = "absent" if known_absent else backend.compare(key, file.entry)
            if state == "same":
                transfer.advance(file.entry.size)
                return
            try:
                if state == "different":
                    claim.check()
                    backend.delete(key)
                else:
                    claim.check(CLAIM_MAX_AGE_S)
                backend.upload(file, key, transfer)
                return
            except ObjectExistsError:
                continue
        raise StorageError(f"another publisher keeps writing {backend.address(key)}")

    transfer.files(place, part)


def _finish(backend: Backend, prefix: str, manifest: Manifest, claim: _Claim) -> None:
    key = join(prefix, MANIFEST)
    claim.check()
    try:
        backend.create(key, manifest.to_json())
    except ObjectExistsError:
        _is_finished(backend, prefix, manifest)
        return
    if claim.is_anothers():
        backend.delete(key)
        raise SupersededError
