"""Runs a command and leaves nothing of it behind: python reaper.py PARENT_PID GRACE_S COMMAND...

Training starts Ray, whose daemons leave their parent and outlive a kill. The reaper adopts what the
command orphans, ends it when the command ends, and ends everything when its own parent is gone,
however it went. It is a program of its own because only a parent without threads may set up its
children so, and imports nothing that is slow to load. Linux only.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None)  # before any fork: a preexec_fn should not load a library
LEFTOVERS_S = 1.0
"""Time between SIGTERM and SIGKILL for what a command that has ended left running."""


def main() -> int:
    """Exit status of the command, 128 + N if signal N ended it."""
    parent, grace_s, command = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]
    end_with_parent(parent, signal.SIGTERM)
    _libc.prctl(PR_SET_CHILD_SUBREAPER, 1)
    reaper = os.getpid()
    child = subprocess.Popen(command, preexec_fn=lambda: end_with_parent(reaper, signal.SIGKILL))

    def forward(number: int, _: FrameType | None) -> None:
        _signal([child.pid], number)
        signal.setitimer(signal.ITIMER_REAL, grace_s)

    def kill(*_: object) -> None:
        _signal(descendants(os.getpid()), signal.SIGKILL)

    signal.signal(signal.SIGALRM, kill)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, forward)
    status = _wait_for(child.pid)
    _end_leftovers()
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def end_with_parent(parent: int, number: int) -> None:
    """Have the kernel send signal `number` to this process when the thread that started it ends.

    Ends this process at once when `parent` has ended already. May be a `preexec_fn`.
    """
    _libc.prctl(PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        os._exit(128 + number)


def descendants(pid: int) -> list[int]:
    """Every process below `pid`, by the kernel's table."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    found = list(children.get(pid, []))
    for child in found:  # grows while it is walked
        found += children.get(child, [])
    return found


def _wait_for(pid: int) -> int:
    """Reap whatever ends, adopted orphans too, until `pid` has; returns its wait status."""
    while True:
        ended, status = os.wait()
        if ended == pid:
            return status


def _end_leftovers() -> None:
    """End what is left of the tree, and reap it."""
    deadline = time.monotonic() + LEFTOVERS_S
    _signal(descendants(os.getpid()), signal.SIGTERM)
    while left := descendants(os.getpid()):
        if time.monotonic() > deadline:
            _signal(left, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.01)


def _signal(pids: list[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


if __name__ == "__main__":
    sys.exit(main())
