"""What can go wrong between a folder and storage, in plain words."""

from __future__ import annotations

import errno
from collections.abc import Generator
from contextlib import contextmanager

from ttsrl.errors import BadInput, Failure


class StorageError(Failure):
    """Storage or the local disk did not do its part; the same call may succeed later.

    What a retry cannot fix (wrong credentials, no such bucket) is `BadInput`.
    """


class GivenUpError(Failure):
    """A guard has set the run back, and what was to be published is of a checkpoint before that."""


class ObjectExistsError(Exception):
    """Something is already there, and it may not be overwritten."""


class ObjectChangedError(Exception):
    """The object is no longer the version that was asked for."""


class SupersededError(Exception):
    """Another publisher has claimed the prefix."""


@contextmanager
def plain_disk_errors() -> Generator[None]:
    """Turn the operating system's refusals into messages that name the file and the way out."""
    try:
        yield
    except OSError as error:
        place = error.filename2 or error.filename or "the disk"
        match error.errno:
            case errno.ENOSPC | errno.EDQUOT:
                raise StorageError(
                    f"no space left on the disk of {place}; free some and run again: what has "
                    "arrived is kept"
                ) from error
            case errno.EACCES | errno.EPERM | errno.EROFS:
                raise BadInput(
                    f"permission denied: {place}; choose a folder that this user may write to"
                ) from error
            case _:
                raise StorageError(f"{error.strerror or error}: {place}") from error
