"""A process that makes one call after the other, so that what it imported and loaded is there."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Self

from ttsrl.errors import BadInput, Failure, Stopped
from ttsrl.runtime.call import Call
from ttsrl.runtime.job import JobProcess

POLL_S = 0.05


class KeptProcess:
    """Started by the first call, and by the next one after a call that failed or a kill.

    Functions are those that a new Python finds by their names; a result other than None or 0 is an
    exit code, and a failure. Nothing of it outlives `stop`, its block, or the end of this process.
    """

    def __init__(self, name: str, log: Path, environment: Mapping[str, str] | None = None) -> None:
        self.log = log
        self._name = name
        self._environment = environment
        self._at_work: _AtWork | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.stop()

    def begin(self, function: Callable[..., int | None], *arguments: object) -> None:
        """Have it make a call, and do not wait: the next one waits for its end.

        What it fails with is in the log alone.
        """
        if self._at_work is None:
            self._at_work = _AtWork(self._name, self.log, self._environment)
        self._at_work.ask((function, arguments))

    def call(self, function: Callable[..., int | None], *arguments: object) -> None:
        """Have it make a call, and wait for its end. Raises what it failed with, as a job does."""
        if self._at_work is not None and not self._is_ready(self._at_work):
            self.stop()
        self.begin(function, *arguments)
        assert self._at_work is not None
        try:
            self._at_work.wait()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End it, and all that it started."""
        if self._at_work is not None:
            self._at_work.end()
            self._at_work = None

    @staticmethod
    def _is_ready(process: _AtWork) -> bool:
        """Once it has made the call before; whether it lives."""
        try:
            process.wait()
            return process.is_running()
        except (BadInput, Failure, Stopped):
            return False


class _AtWork(JobProcess):
    """The process as it is now, and how it is spoken with."""

    def __init__(self, name: str, log: Path, environment: Mapping[str, str] | None) -> None:
        ours, its = socket.socketpair()
        with its:
            super().__init__(name, "ttsrl.runtime.calls", its.fileno(), log, environment)
        self._asked = Connection(ours.detach())
        self._unanswered = 0

    def ask(self, call: Call) -> None:
        """Raises Failure where it is gone."""
        self._start = self.log.stat().st_size
        try:
            self._asked.send(call)
        except OSError as error:
            raise Failure(f"{self.name} is gone: {error}") from None
        self._unanswered += 1

    def wait(self) -> None:
        """Until all it was asked is done. Raises what it ended with."""
        while self._unanswered:
            if not self.is_running():
                raise Failure(f"{self.name} ended in the middle of its work; log: {self.log}")
            if self._asked.poll(POLL_S):
                with suppress(EOFError, ConnectionResetError):  # it has ended, and says how
                    self._asked.recv()
                    self._unanswered -= 1

    def end(self) -> None:
        self._asked.close()
        self.stop()
