"""`python ARGUMENTS...`, forked off a process that has imported what the program needs:

python -IS forked_python.py SOCKET ARGUMENTS...

Where `ttsrl.runtime.preloaded` does not fork it, this process becomes a Python that starts as
usual. Else the program has this process' environment, folder and open files, and this process its
end, by a signal too: each ends with the other, and both with the process that started this one.
This file imports nothing that is slow to load.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import signal
import socket
import sys
from collections.abc import Sequence
from types import FrameType

FORWARDED = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
MOST_FILES = 253
"""The kernel passes no more at once."""


def python_of(address: str) -> list[str]:
    """The command that stands for Python's."""
    return [sys.executable, "-IS", __file__, address]


def program_of(arguments: Sequence[str]) -> list[str] | None:
    """A file and its arguments, or `-c`, code and its arguments; None of what is not forked.

    Of Python's own options those alone are known that `multiprocessing` repeats from the process
    that starts another: one that is forked has them. Its tracker of resources needs no modules, and
    has to outlive what started it.
    """
    if arguments and not arguments[0].startswith("-"):
        return list(arguments)
    if "--multiprocessing-fork" in arguments and "-c" in arguments:
        return list(arguments[arguments.index("-c") :])
    return None


def main() -> int:
    """The program's exit code; it does not return where a signal ended that."""
    address, *arguments = sys.argv[1:]
    files = _open_files()
    asked = _ask(address, arguments, files) if program_of(arguments) else None
    if asked is None:
        os.execv(sys.executable, [sys.executable, *arguments])
    answers, pid = asked
    for file in files:
        if file > 2:  # who reads a pipe waits until the program closes it, not this process
            os.close(file)

    def forward(number: int, _: FrameType | None) -> None:
        os.kill(pid, number)

    for number in FORWARDED:
        signal.signal(number, forward)
    try:
        parent = os.pidfd_open(os.getppid())
    except ProcessLookupError:
        return 1
    ready, *_ = select.select([answers, parent], [], [])
    with contextlib.suppress(OSError, ValueError):  # who forked it has ended
        code = int(_line(answers)) if answers in ready else 1
        if code < 0:
            _end_by(-code)
        return code
    return 1


def _open_files() -> list[int]:
    """What a program that this process becomes would find open."""
    found = list[int]()
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
        with contextlib.suppress(OSError):  # the one that lists them
            if os.get_inheritable(int(name)):
                found.append(int(name))
    return sorted(found)


def _ask(address: str, arguments: list[str], files: list[int]) -> tuple[socket.socket, int] | None:
    """A connection that tells the exit code, and the program's process; None: it was not forked."""
    connection = socket.socket(socket.AF_UNIX)
    most_open, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    told = [arguments, dict(os.environ), os.getcwd(), files, most_open]  # noqa: PTH109
    request = json.dumps(told).encode()
    if len(files) <= MOST_FILES:
        with contextlib.suppress(OSError, ValueError):
            connection.connect(address)
            socket.send_fds(connection, [len(request).to_bytes(8, "big")], files)
            connection.sendall(request)
            return connection, int(_line(connection))
    connection.close()
    return None


def _line(connection: socket.socket) -> bytes:
    """The next line, and nothing of the one after it."""
    with connection.makefile("rb", buffering=0) as file:
        return file.readline()


def _end_by(number: int) -> None:
    """End as the program did."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the program has left its own
    with contextlib.suppress(OSError):  # SIGKILL's is fixed
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


if __name__ == "__main__":
    sys.exit(main())
