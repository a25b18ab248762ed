"""The service's end of a worker process: start it, give it batches, replace it when it fails."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

from ttsrl.serving.worker import CannotLoad, Loaded, Measured
from ttsrl.wire import Outcome, Utterance

ROOT = Path(__file__).resolve().parents[2]
EXIT_S = 5.0


class WorkerLost(Exception):
    """The process is gone, and with it the batch that it was measuring."""

    reason = "died"


class WorkerHung(WorkerLost):
    """It gave no answer in time and was killed."""

    reason = "hung"


class WorkerEnds(WorkerLost):
    """A scorer hangs in it, so that it ends after this batch."""

    reason = "hung"

    def __init__(self, detail: str, outcomes: list[Outcome]) -> None:
        super().__init__(detail)
        self.outcomes = outcomes


class CannotStart(Exception):
    """A worker process cannot load its models; the service has to end with `exit_code`."""

    def __init__(self, detail: str, exit_code: int) -> None:
        super().__init__(detail)
        self.exit_code = exit_code


class WorkerProcess:
    """One worker process after the other in the place `number` of `workers`.

    `start` belongs on the main thread: the kernel ends a worker with the thread that started it.
    The other methods block, and may run in any thread, one at a time; only `kill` may at any time.
    """

    def __init__(self, config: str, number: int, workers: int) -> None:
        self.number = number
        self._command = [sys.executable, "-m", "ttsrl.serving.worker", "--config", config]
        self._command += ["--number", str(number), "--workers", str(workers)]
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None

    def start(self) -> None:
        """Start a process, in place of one that is lost."""
        self.kill()
        ours, theirs = socket.socketpair()
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        with theirs:
            fd = theirs.fileno()
            self._process = subprocess.Popen(
                [*self._command, "--fd", str(fd)],
                pass_fds=[fd],
                env={**os.environ, "PYTHONPATH": path},
                stdin=subprocess.DEVNULL,
                process_group=0,  # a Ctrl-C on the terminal is for the service, which drains
            )
        self._connection = Connection(ours.detach())

    def wait_loaded(self) -> Loaded:
        """Until the models are warm. Raises CannotStart."""
        match self._receive(None):
            case Loaded() as loaded:
                return loaded
            case CannotLoad(detail, exit_code):
                raise CannotStart(detail, exit_code)
            case other:
                raise CannotStart(f"a worker began with {other!r}", 1)

    def measure(self, utterances: Sequence[Utterance], timeout_s: float) -> Measured:
        """One outcome an utterance. Raises WorkerLost; the process has then to be started anew."""
        assert self._connection is not None
        try:
            self._connection.send(list(utterances))
        except OSError:
            raise self._lost() from None
        match self._receive(timeout_s):
            case Measured(outcomes=outcomes, last=True):
                raise WorkerEnds(f"worker {self.number} ends: a scorer hangs in it", outcomes)
            case Measured() as measured:
                return measured
            case other:
                raise WorkerLost(f"a worker answered a batch with {other!r}")

    def kill(self) -> None:
        """End the process, whatever it is doing."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if self._connection is not None:
            self._connection.close()

    def _receive(self, timeout_s: float | None) -> object:
        assert self._connection is not None and self._process is not None
        try:
            if not self._connection.poll(timeout_s):
                self._process.kill()
                self._process.wait()
                raise WorkerHung(f"worker {self.number} gave no answer in {timeout_s:g} s")
            return self._connection.recv()
        except (EOFError, OSError):
            raise self._lost() from None

    def _lost(self) -> WorkerLost:
        assert self._process is not None
        try:
            status = self._process.wait(timeout=EXIT_S)  # its socket closes a little before it ends
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        how = f"was killed by signal {-status}" if status < 0 else f"ended with exit code {status}"
        return WorkerLost(f"worker {self.number} {how}")
