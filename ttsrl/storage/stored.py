"""What was read from storage and makes no sense: whose fault is it?

A console or a proxy may answer for an object with a page of its own. Nobody is told to remove an
object before the list of its folder has confirmed that what came has its size.
"""

from __future__ import annotations

from ttsrl.storage.backend import Backend, join
from ttsrl.storage.errors import StorageError
from ttsrl.storage.manifest import MANIFEST, Manifest


def read_manifest(backend: Backend, prefix: str) -> Manifest | None:
    """The manifest of a published folder; None if there is none. Raises StorageError."""
    key = join(prefix, MANIFEST)
    data = backend.read(key)
    if data is None:
        return None
    try:
        return Manifest.from_json(data)
    except ValueError as error:
        raise unusable(backend, key, data, f"is not a usable manifest: {error}") from None


def unusable(backend: Backend, key: str, data: bytes, what: str) -> StorageError:
    """The error about an object that was read; `what` ends the sentence about it."""
    address = backend.address(key)
    if backend.lists(key, len(data)):
        return StorageError(f"{address} {what}; delete it, and write or publish it again")
    return StorageError(
        f"what came for {address} is {len(data)} bytes that storage does not list there: something "
        "between answers instead of it; check the endpoint and its proxies"
    )
