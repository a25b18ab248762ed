"""A process that has imported what several programs need, and forks them: each starts at once.

Each would import the same anew otherwise, which takes seconds of a core and hundreds of megabytes.
Only a process with one thread is forked, and never one that uses a GPU: a fork has none of the
other threads, but the locks they held, and no use of the GPU.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import json
import multiprocessing
import os
import resource
import runpy
import selectors
import shlex
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import NoReturn

import numpy as np

from ttsrl.runtime.forked_python import MOST_FILES, program_of, python_of
from ttsrl.runtime.reaper import end_with_parent

ALONE = "each process imports its own modules"
INHERITED = 100
"""Programs that are forked find their open files at numbers below, those that Ray starts do."""
STREAMS = 3
"""Standard input, output and error."""
SURVIVE_A_FORK = {"jemalloc_bg_thd"}
"""Threads that their libraries start anew in the child: jemalloc's, which pyarrow brings."""
OF_NVML = "cuda"
"""How the thread's name begins that NVML leaves when it has closed its files. Who has initialised
CUDA has a thread of such a name, too, but the GPU's files open."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def serve_forks(address: Path, prepare: Callable[[], bool]) -> None:
    """Go on in a child, while this process forks programs of `forked_python.py ADDRESS` off itself.

    It takes the child's exit code when that ends, and with it ends what it has forked. Each program
    calls `prepare` first, with its own environment: libraries may have read this one's while they
    were imported. Where that is False it starts as usual. What a program starts by
    `multiprocessing`'s method spawn is forked off this process, too. Where this process cannot be
    forked, it continues itself and says why, and those programs start as usual.
    """
    if found := unfit():
        print(f"{ALONE}, because this one has {found}", flush=True)
        return
    with socket.socket(socket.AF_UNIX) as server:
        try:
            server.bind(str(address))
        except OSError as error:  # the path is too long for a socket
            print(f"{ALONE}: {address}: {error}", flush=True)
            return
        address.chmod(0o600)
        server.listen()
        python = _executable(address)
        if child := _child():
            _Forks(server, child, python, prepare).serve()


@contextmanager
def low_numbers_kept() -> Generator[None]:
    """Whatever is opened meanwhile has a number above those of files that programs inherit."""
    kept = [os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)]
    while kept[-1] < INHERITED:
        kept.append(os.dup(kept[0]))
    try:
        yield
    finally:
        for file in kept:
            os.close(file)


def _executable(address: Path) -> str:
    """The file that `multiprocessing` starts as Python: its own has no arguments of ours."""
    script = address.with_name("python")
    script.write_text(f'#!/bin/sh\nexec {shlex.join(python_of(str(address)))} "$@"\n')
    script.chmod(0o700)
    # nothing of a disk that is mounted so can be executed
    return str(script) if os.access(script, os.X_OK) else sys.executable


def unfit() -> str | None:
    """What a fork of this process would lose."""
    threads = [one for one in Path("/proc/self/task").iterdir() if one.name != str(os.getpid())]
    names = {(one / "comm").read_text().strip() for one in threads} - SURVIVE_A_FORK
    names = {name for name in names if not name.startswith(OF_NVML)}
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

    def __init__(
        self, server: socket.socket, main: int, python: str, prepare: Callable[[], bool]
    ) -> None:
        self.server = server
        self.main = main
        self.python = python
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
                    code = _wait(self.main)
                    os._exit(code if code >= 0 else 128 - code)
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
        size, files, *_ = socket.recv_fds(connection, 8, MOST_FILES)
        with connection.makefile("rb") as file:
            request = file.read(int.from_bytes(size, "big"))
        try:
            asked = _Asked(*json.loads(request))
        except (ValueError, TypeError):  # who asked has ended
            connection.close()
        else:
            if pid := _child():
                self._remember(pid, connection)
            else:
                self._forget_all()
                connection.close()
                _become(asked, files, self.python, self.prepare)
        for file in files:
            os.close(file)

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
    """The exit code of a child that has ended; -N if signal N ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@dataclass(frozen=True)
class _Asked:
    """What `forked_python` tells of a program."""

    arguments: list[str]
    """Python's."""
    environment: dict[str, str]
    folder: str
    numbers: list[int]
    """Of its open files, in the order in which they are sent."""
    most_open: int
    """Limit of their number."""


def _become(asked: _Asked, files: list[int], python: str, prepare: Callable[[], bool]) -> NoReturn:
    """Be the program that was asked for, to its end."""
    code = 1
    try:
        free = _place(files, asked)
        os.setpgid(0, 0)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        os.environ.clear()
        os.environ.update(asked.environment)
        os.chdir(asked.folder)
        program = program_of(asked.arguments)
        if program is None or not (free and prepare()):
            os.execv(sys.executable, [sys.executable, *asked.arguments])
        multiprocessing.set_executable(python)
        code = _exit_code(program)
        threading._shutdown()  # pyright: ignore[reportAttributeAccessIssue]
        atexit._run_exitfuncs()  # pyright: ignore[reportPrivateUsage]
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _place(files: Sequence[int], asked: _Asked) -> bool:
    """Open a program's files at the numbers that it knows; False where a library's file was there.

    It has lost that file, then.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(asked.most_open, most), most))
    # first beyond them all: the numbers that they came by may be those of others
    beyond = max(asked.numbers, default=0) + 1
    moved = [fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, beyond) for file in files]
    for file in files:
        os.close(file)
    free = True
    for number, file in zip(asked.numbers, moved, strict=True):
        free = free and (number < STREAMS or not _is_open(number))
        os.dup2(file, number)
        os.close(file)
    return free


def _is_open(file: int) -> bool:
    try:
        os.fstat(file)
    except OSError:
        return False
    return True


def _exit_code(program: list[str]) -> int:
    """Run a file, or code after -c; its exit code as Python would have it."""
    try:
        if program[0] == "-c":
            _run_code(program)
        else:
            sys.argv = program
            sys.path.insert(0, str(Path(program[0]).parent))
            runpy.run_path(program[0], run_name="__main__")
    except SystemExit as left:
        if left.code is None or isinstance(left.code, int):
            return left.code or 0
        print(left.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _run_code(program: list[str]) -> None:
    flag, code, *arguments = program
    sys.argv = [flag, *arguments]
    module = sys.modules["__main__"] = ModuleType("__main__")
    exec(code, module.__dict__)
