"""Storage: published folders and small JSON files below one root, in S3 or in a plain folder."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

from ttsrl.errors import BadInput
from ttsrl.storage.atomic import replace_file
from ttsrl.storage.backend import Backend, join
from ttsrl.storage.errors import plain_disk_errors
from ttsrl.storage.folder import FolderBackend
from ttsrl.storage.local import Part, manifest_of, scan
from ttsrl.storage.manifest import MANIFEST
from ttsrl.storage.publish import publish, publish_parts, upload_part
from ttsrl.storage.pull import complete_below, pull
from ttsrl.storage.stored import unusable
from ttsrl.storage.transfer import ProgressCallback, Transfer


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

    Every method raises BadInput for what the user must fix (credentials, bucket, permission) and
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
        resumed by repeating it. A finished prefix never changes: the same content costs no work,
        another one is BadInput. `progress(done_bytes, total_bytes)` is called from threads.
        """
        publish(self._backend, _clean(prefix), folder, progress)

    def scan(self, folder: Path) -> Part:
        """Hash what this machine holds of a folder that several machines publish; may be nothing.

        The result may be sent to other machines, and is what `upload_part` takes on this one.
        """
        with plain_disk_errors(), Transfer(None) as transfer:
            return scan(folder, transfer)

    def publish_parts(
        self, prefix: str, parts: Sequence[Part], upload: Callable[[str], None]
    ) -> None:
        """Publish a folder whose files lie on several machines, as `publish` does one machine's.

        `upload(claim)` has every machine call `upload_part` and returns when all are done. One
        publisher writes the manifest, then: nothing is visible before. A file that several
        machines hold must be the same on all.
        """
        publish_parts(self._backend, _clean(prefix), manifest_of(parts), upload)

    def upload_part(self, prefix: str, part: Part, claim: str) -> None:
        """Upload this machine's part of a folder that is published under `claim`."""
        upload_part(self._backend, _clean(prefix), part, claim)

    def pull(
        self,
        prefix: str,
        folder: Path,
        progress: ProgressCallback | None = None,
        *,
        replace: bool = False,
        wanted: Callable[[str], bool] = lambda _: True,
    ) -> None:
        """Bring a published folder to `folder`, which appears at the end, whole and verified.

        Of its files only those whose relative path is `wanted`.

        An interrupted pull is resumed by repeating it: parts that have arrived are kept beside
        `folder`. BadInput if nothing complete is published there, or if `folder` holds something
        else and `replace` does not let go of that, once the new content is complete.
        """
        pull(self._backend, _clean(prefix), folder, progress, replace=replace, wanted=wanted)

    def is_complete(self, prefix: str) -> bool:
        """Whether a folder is published there, its manifest included."""
        with plain_disk_errors():
            return self._backend.stat(join(_clean(prefix), MANIFEST)) is not None

    def list_complete(self, prefix: str = "") -> list[str]:
        """Keys of the published folders below `prefix`, sorted."""
        with plain_disk_errors():
            return complete_below(self._backend, _clean(prefix))

    def write_text(self, key: str, text: str) -> None:
        """Write a small text whole, over what is there."""
        with plain_disk_errors():
            self._backend.write(_clean(key), text.encode())

    def read_text(self, key: str) -> str | None:
        """A small text; None if there is none."""
        with plain_disk_errors():
            data = self._backend.read(_clean(key))
            try:
                return None if data is None else data.decode()
            except UnicodeDecodeError as error:
                what = f"is not UTF-8 at byte {error.start}"
                raise unusable(self._backend, _clean(key), data or b"", what) from None

    def write_file(self, key: str, source: Path) -> None:
        """Write a file of moderate size whole, over what is there: a log that grows."""
        with plain_disk_errors():
            self._backend.write(_clean(key), source.read_bytes())

    def read_files(self, prefix: str, folder: Path) -> None:
        """Bring the files that `write_file` wrote below a prefix to the same places in a folder."""
        prefix = _clean(prefix)
        with plain_disk_errors():
            for key in list(self._backend.list_keys(prefix)):
                if (data := self._backend.read(key)) is not None:
                    with replace_file(folder / key.removeprefix(f"{prefix}/")) as temporary:
                        temporary.parent.mkdir(parents=True, exist_ok=True)
                        temporary.write_bytes(data)

    def read_json(self, key: str) -> dict[str, Any] | None:
        """A JSON object; None if there is none."""
        with plain_disk_errors():
            data = self._backend.read(_clean(key))
            if data is None:
                return None
            try:
                value: object = json.loads(data)
            except (ValueError, RecursionError):
                value = None
            if not isinstance(value, dict):
                raise unusable(self._backend, _clean(key), data, "is not a JSON object")
        return cast("dict[str, Any]", value)

    def write_json(self, key: str, value: dict[str, Any]) -> None:
        """Write a JSON object whole, over what is there."""
        data = json.dumps(value, indent=1, allow_nan=False) + "\n"
        with plain_disk_errors():
            self._backend.write(_clean(key), data.encode())

    def remove(self, prefix: str) -> None:
        """Take back a published folder; its manifest goes first: nobody finds half of it."""
        with plain_disk_errors():
            self._backend.delete(join(_clean(prefix), MANIFEST))
            for key in list(self._backend.list_keys(_clean(prefix))):
                self._backend.delete(key)

    def delete(self, key: str) -> None:
        """Delete one file; none is none."""
        with plain_disk_errors():
            self._backend.delete(_clean(key))


def _clean(key: str) -> str:
    parts = [part for part in key.split("/") if part]
    if {".", ".."} & set(parts):
        raise BadInput(f"{key!r} is not a valid key: it must not contain `.` or `..` as a folder")
    return "/".join(parts)
