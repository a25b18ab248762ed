"""A process that has imported what several programs need, and forks them: each starts at once.

Each would import the same anew otherwise, which takes seconds of a core and hundreds of megabytes.
Only a process with one thread is forked, and never one that uses a GPU: a fork has none of the
other threads, but the locks they held, and no use of the GPU.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import runpy
import selectors
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import numpy as np

from ttsrl.runtime.reaper import end_with_parent

STREAMS = 3
"""Standard input, output and error."""
SURVIVE_A_FORK = {"jemalloc_bg_thd"}
"""Threads that their libraries start anew in the child: jemalloc's, which pyarrow brings."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def serve_forks(address: Path, prepare: Callable[[], None]) -> None:
    """Go on in a child, while this process forks programs of `forked_python.py ADDRESS` off itself.

    It takes the child's exit code when that ends, and with it ends what it has forked. Each program
    calls `prepare` first, with its own environment: libraries may have read this one's while they
    were imported. Where this process cannot be forked, it continues itself and says why, and those
    programs start as usual.
    """
    if found := _unfit():
        print(f"each process imports its own modules, because this one has {found}", flush=True)
        return
    with socket.socket(socket.AF_UNIX) as server:
        try:
            server.bind(str(address))
        except OSError as error:  # the path is too long for a socket
            print(f"each process imports its own modules: {address}: {error}", flush=True)
            return
        address.chmod(0o600)
        server.listen()
        if child := _child():
            _Forks(server, child, prepare).serve()


def _unfit() -> str | None:
    """What a fork of this process would lose."""
    threads = [one for one in Path("/proc/self/task").iterdir() if one.name != str(os.getpid())]
    names = {(one / "comm").read_text().strip() for one in threads} - SURVIVE_A_FORK
    if names:
        return f"the threads {', '.join(sorted(names))}"
    for file in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # the one that lists them
            if (target := str(file.readlink())).startswith("/dev/nvidia"):
                return f"{target} open"
    return None


def _child() -> int:
    """Fork: 0 in the child, which is killed when its parent ends."""
    parent = os.getpid()
    sys.stdout.flush()
    sys.stderr.flush()
    if pid := os.fork():
        return pid
    end_with_parent(parent, signal.SIGKILL)
    np.random.seed()  # Python's own generator does so by itself
    return 0


class _Forks:
    """The programs that run, each with the connection that asked for it."""

    def __init__(self, server: socket.socket, main: int, prepare: Callable[[], None]) -> None:
        self.server = server
        self.main = main
        self.prepare = prepare
        self.running: dict[int, tuple[int, socket.socket]] = {}
        """By process: a file that is readable at its end, and who asked."""
        self.main_end = os.pidfd_open(main)
        self.selector = selectors.DefaultSelector()
        self.selector.register(server, selectors.EVENT_READ)
        self.selector.register(self.main_end, selectors.EVENT_READ)

    def serve(self) -> NoReturn:
        """Fork for each connection and tell it the exit code; end as the child that went on."""
        for number in SIGNALS:
            signal.signal(number, lambda number, _: os.kill(self.main, number))
        while True:
            for key, _ in self.selector.select():
                if key.fileobj == self.main_end:
                    os._exit(_wait(self.main))
                if key.fileobj is self.server:
                    self._answer(self.server.accept()[0])
                elif key.data in self.running:
                    if isinstance(key.fileobj, socket.socket):
                        self.selector.unregister(key.fileobj)  # who asked has ended
                        os.kill(key.data, signal.SIGKILL)
                    else:
                        self._end(key.data)

    def _answer(self, connection: socket.socket) -> None:
        """Fork what is asked for."""
        size, streams, *_ = socket.recv_fds(connection, 8, STREAMS)
        with connection.makefile("rb") as file:
            request = file.read(int.from_bytes(size, "big"))
        try:
            program, environment, folder = json.loads(request)
        except (ValueError, TypeError):  # who asked has ended
            connection.close()
        else:
            if pid := _child():
                self._remember(pid, connection)
            else:
                self._forget_all()
                connection.close()
                _become(program, environment, folder, streams, self.prepare)
        for stream in streams:
            os.close(stream)

    def _remember(self, pid: int, connection: socket.socket) -> None:
        self.running[pid] = os.pidfd_open(pid), connection
        for file in self.running[pid]:
            self.selector.register(file, selectors.EVENT_READ, pid)
        _tell(connection, pid)

    def _end(self, pid: int) -> None:
        end, connection = self.running.pop(pid)
        self.selector.unregister(end)
        os.close(end)
        with contextlib.suppress(KeyError):
            self.selector.unregister(connection)
        with connection:
            _tell(connection, _wait(pid))

    def _forget_all(self) -> None:
        """In a child, which must not keep another's connection open."""
        for end, connection in self.running.values():
            os.close(end)
            connection.close()
        self.selector.close()
        os.close(self.main_end)
        self.server.close()


def _tell(connection: socket.socket, number: int) -> None:
    with contextlib.suppress(OSError):  # who asked has ended
        connection.sendall(f"{number}\n".encode())


def _wait(pid: int) -> int:
    """The exit code of a child that has ended."""
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code if code >= 0 else 128 - code


def _become(
    program: list[str],
    environment: dict[str, str],
    folder: str,
    streams: list[int],
    prepare: Callable[[], None],
) -> NoReturn:
    """Be the program that was asked for, to its end."""
    code = 1
    try:
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        os.setpgid(0, 0)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(folder)
        sys.argv = program
        sys.path.insert(0, str(Path(program[0]).parent))
        code = _exit_code(program[0], prepare)
        threading._shutdown()  # pyright: ignore[reportAttributeAccessIssue]
        atexit._run_exitfuncs()  # pyright: ignore[reportPrivateUsage]
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _exit_code(program: str, prepare: Callable[[], None]) -> int:
    """Run a file; its exit code as Python would have it."""
    try:
        prepare()
        runpy.run_path(program, run_name="__main__")
    except SystemExit as left:
        if left.code is None or isinstance(left.code, int):
            return left.code or 0
        print(left.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0
