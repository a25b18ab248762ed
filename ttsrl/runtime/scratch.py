"""Temporary folders of which none is left behind, not even by a process that was killed."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

HELD = ".held"
"""A file in the folder, locked by the process that uses it for as long as it lives."""
YOUNG_S = 60.0
"""A folder of this age may be one that is being made."""


@contextmanager
def scratch(prefix: str) -> Generator[Path]:
    """A folder in the system's temporary one that goes with the block.

    What killed processes of this user have left under the same prefix goes first.
    """
    for folder in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        if _is_abandoned(folder / HELD):
            shutil.rmtree(folder, ignore_errors=True)
    with (
        tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as made,
        (Path(made) / HELD).open("w") as held,
    ):
        fcntl.flock(held, fcntl.LOCK_EX)
        yield Path(made)


def _is_abandoned(held: Path) -> bool:
    try:
        facts = held.stat()
        if facts.st_uid != os.getuid() or time.time() - facts.st_mtime < YOUNG_S:
            return False
        with held.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # it is another user's, in use, or none of ours
        return False
    return True
