"""Storage: published folders and small JSON files below one root, in S3 or in a plain folder."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from ttsrl.errors import BadInput
from ttsrl.storage.backend import Backend, join
from ttsrl.storage.errors import StorageError, plain_disk_errors
from ttsrl.storage.folder import FolderBackend
from ttsrl.storage.manifest import MANIFEST
from ttsrl.storage.publish import publish
from ttsrl.storage.pull import complete_below, pull
from ttsrl.storage.transfer import ProgressCallback


def open_storage(root: str) -> Storage:
    """Storage at `s3://bucket[/prefix]` or in a folder; BadInput for any other address.

    S3 is asked nothing yet: the first call finds out whether the credentials are good.
    """
    if "://" not in root:
        if not root:
            raise BadInput("storage has no address; give s3://bucket/prefix or a folder")
        return Storage(FolderBackend(Path(root).expanduser().absolute()))
    address = re.fullmatch(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/+(.*?))?/*", root)
    if address is None:
        # Not quoted: people write credentials into such addresses.
        raise BadInput("storage must be s3://bucket/prefix or a folder; this address is neither")
    from ttsrl.storage.s3 import S3Backend

    return Storage(S3Backend(address[1], _clean(address[2] or "")))


class Storage:
    """Folders and JSON files by key, a relative POSIX path below the root.

    Every method raises BadInput for what the user must mend (credentials, bucket, permission) and
    StorageError for what may pass (network, a busy server, a full disk).
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def address(self, key: str = "") -> str:
        """The key as a user would write it."""
        return self._backend.address(_clean(key))

    def publish(self, folder: Path, prefix: str, progress: ProgressCallback | None = None) -> None:
        """Upload all files of a local folder; its manifest comes last and makes it visible.

        Files that are there with the same content are not sent again, so an interrupted publish is
        resumed by repeating it. A finished prefix never changes: the same content is no work,
        another one is BadInput. `progress(done_bytes, total_bytes)` is called from threads.
        """
        publish(self._backend, _clean(prefix), folder, progress)

    def pull(
        self,
        prefix: str,
        folder: Path,
        progress: ProgressCallback | None = None,
        *,
        replace: bool = False,
    ) -> None:
        """Bring a published folder to `folder`, which appears at the end, whole and verified.

        An interrupted pull is resumed by repeating it: parts that have arrived are kept beside
        `folder`. BadInput if nothing complete is published there, or if `folder` holds something
        else and `replace` does not let go of that, once the new content is complete.
        """
        pull(self._backend, _clean(prefix), folder, progress, replace=replace)

    def is_complete(self, prefix: str) -> bool:
        """Whether a folder is published there, its manifest included."""
        with plain_disk_errors():
            return self._backend.stat(join(_clean(prefix), MANIFEST)) is not None

    def list_complete(self, prefix: str = "") -> list[str]:
        """Keys of the published folders below `prefix`, sorted."""
        with plain_disk_errors():
            return complete_below(self._backend, _clean(prefix))

    def read_json(self, key: str) -> dict[str, Any] | None:
        """A JSON object; None if there is none."""
        with plain_disk_errors():
            data = self._backend.read(_clean(key))
        if data is None:
            return None
        try:
            value = json.loads(data)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise StorageError(f"{self.address(key)} is no JSON object; delete or repair it")
        return value  # pyright: ignore[reportUnknownVariableType]

    def write_json(self, key: str, value: dict[str, Any]) -> None:
        """Write a JSON object whole, over what is there."""
        data = json.dumps(value, indent=1, allow_nan=False) + "\n"
        with plain_disk_errors():
            self._backend.write(_clean(key), data.encode())


def _clean(key: str) -> str:
    parts = [part for part in key.split("/") if part]
    if {".", ".."} & set(parts):
        raise BadInput(f"{key!r} is no key: it must not contain `.` or `..` as a folder")
    return "/".join(parts)
