"""`python PROGRAM ARGUMENTS...`, forked off a process that has imported what the program needs:

python -IS forked_python.py SOCKET PROGRAM ARGUMENTS...

Where `ttsrl.runtime.preloaded` does not fork it, this process becomes a Python that starts as
usual. Else the program has this process' environment, folder and standard streams, and this process
its exit code: each ends with the other, and both with the process that started this one. This file
imports nothing that is slow to load.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
from types import FrameType


def main() -> int:
    """The program's exit code."""
    address, *program = sys.argv[1:]
    asked = _ask(address, program)
    if asked is None:
        os.execv(sys.executable, [sys.executable, *program])
    answers, pid = asked

    def forward(number: int, _: FrameType | None) -> None:
        os.kill(pid, number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, forward)
    try:
        parent = os.pidfd_open(os.getppid())
    except ProcessLookupError:
        return 1
    ready, *_ = select.select([answers, parent], [], [])
    status = answers.recv(16) if answers in ready else b""
    return int(status) if status else 1


def _ask(address: str, program: list[str]) -> tuple[socket.socket, int] | None:
    """A connection that tells the exit code, and the program's process; None: it was not forked."""
    connection = socket.socket(socket.AF_UNIX)
    request = json.dumps([program, dict(os.environ), os.getcwd()]).encode()  # noqa: PTH109
    try:
        connection.connect(address)
        socket.send_fds(connection, [len(request).to_bytes(8, "big")], [0, 1, 2])
        connection.sendall(request)
        pid = connection.recv(16)
    except OSError:
        pid = b""
    if not pid:
        connection.close()
        return None
    return connection, int(pid)


if __name__ == "__main__":
    sys.exit(main())
