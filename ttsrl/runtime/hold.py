"""A folder that one process at a time works in."""

from __future__ import annotations

import fcntl
import os
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ttsrl.errors import BadInput

WORKS_IN = ".lock"
"""Lock of a run's folder: it is held by the command that trains there."""
LOOK_S = 1.0
"""In which another process has seen whether a lock is held, for which it must take it."""


@contextmanager
def hold(lock: Path, refusal: Callable[[str], str]) -> Generator[None]:
    """Hold a lock file, which is made with its folder.

    The lock goes with the process, however that ends. `refusal` gets the number of the process
    that holds it. Raises BadInput.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a+") as file:
        deadline = time.monotonic() + LOOK_S
        try:
            while not _taken(file):
                if time.monotonic() > deadline:
                    file.seek(0)
                    raise BadInput(refusal(file.read().strip()))
                time.sleep(LOOK_S / 10)
        except OSError as error:  # NFS without its lock service, Lustre mounted without -o flock
            print(
                f"note: the file system of {lock.parent} has no locks ({error.strerror}): see that "
                "only one command at a time works there",
                file=sys.stderr,
            )
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


@contextmanager
def hold_run(folder: Path) -> Generator[None]:
    """Hold the folder of a run that is to be trained. Raises BadInput."""
    with hold(
        folder / WORKS_IN,
        lambda process: (
            f"another command (process {process}) trains in {folder}; "
            "wait for its end, or give this run another name: --set name=other"
        ),
    ):
        yield


def is_held(lock: Path) -> bool:
    """Whether another process, or another part of this one, holds a lock file."""
    try:
        with lock.open() as file:
            return not _taken(file)
    except OSError:  # there is none, or the file system has no locks
        return False


def _taken(file: IO[str]) -> bool:
    """Take the lock, until the file is closed; False where another has it. Raises OSError."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
