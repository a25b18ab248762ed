"""The worker processes of the service: fed from one queue, replaced one by one when they fail."""

from __future__ import annotations

import asyncio
import atexit
import logging
import multiprocessing
import signal
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess

from ttsrl.serving import worker
from ttsrl.serving.batcher import Batcher
from ttsrl.serving.messages import (
    CannotLoad,
    CannotStart,
    Loaded,
    Measured,
    WorkerEnds,
    WorkerHung,
    WorkerLost,
    WorkerPlace,
)
from ttsrl.wire import Outcome, Utterance

logger = logging.getLogger(__name__)

EXIT_S = 5.0
"""A worker's connection closes a little before the process ends."""
SPAWN = multiprocessing.get_context("spawn")
"""A fork would copy the service's event loop and threads, and CUDA does not survive it."""


class WorkerProcess:
    """One process after the other in one place among the workers.

    `start` belongs on the main thread: the kernel ends a worker with the thread that started it.
    The other methods block, and may run in any thread, one at a time; only `kill` may at any time.
    """

    def __init__(self, place: WorkerPlace) -> None:
        self.place = place
        self._process: SpawnProcess | None = None
        self._connection: Connection | None = None

    def start(self) -> None:
        """Start a process, in place of one that is lost."""
        self.kill()
        self._connection, theirs = SPAWN.Pipe()
        name = f"reward-worker-{self.place.number}"
        self._process = SPAWN.Process(target=worker.main, args=(self.place, theirs), name=name)
        with theirs, stop_signals_blocked():
            self._process.start()

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
        """One outcome per utterance. Raises WorkerLost; the process must then be replaced."""
        assert self._connection is not None
        try:
            self._connection.send(list(utterances))
        except OSError:
            raise self._lost() from None
        match self._receive(timeout_s):
            case Measured(outcomes=outcomes, last=True):
                raise WorkerEnds(f"worker {self.place.number} ends: a scorer hangs", outcomes)
            case Measured() as measured:
                return measured
            case other:
                raise WorkerLost(f"a worker answered a batch with {other!r}")

    def kill(self) -> None:
        """End the process, whatever it is doing."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
        if self._connection is not None:
            self._connection.close()

    def _receive(self, timeout_s: float | None) -> object:
        assert self._connection is not None and self._process is not None
        try:
            if not self._connection.poll(timeout_s):
                self._process.kill()
                self._process.join()
                raise WorkerHung(f"worker {self.place.number} gave no answer in {timeout_s:g} s")
            return self._connection.recv()
        except (EOFError, OSError):
            raise self._lost() from None

    def _lost(self) -> WorkerLost:
        assert self._process is not None
        self._process.join(EXIT_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        status = self._process.exitcode or 0
        how = f"was killed by signal {-status}" if status < 0 else f"ended with exit code {status}"
        return WorkerLost(f"worker {self.place.number} {how}")


class WorkerPool:
    """Keeps `workers` processes measuring what `batcher` gathers."""

    def __init__(
        self,
        config: str,
        workers: int,
        batcher: Batcher,
        deadline_s: float,
        on_loaded: Callable[[Loaded], None],
        on_measured: Callable[[Measured], None],
        on_lost: Callable[[WorkerLost], None],
    ) -> None:
        """`deadline_s` is the longest that a worker may take for a batch."""
        self.loaded: dict[int, Loaded] = {}
        """Workers that can measure now, by number."""
        places = (WorkerPlace(config, number, workers) for number in range(workers))
        self._processes = [WorkerProcess(place) for place in places]
        self._batcher = batcher
        self._deadline_s = deadline_s
        self._on_loaded = on_loaded
        self._on_measured = on_measured
        self._on_lost = on_lost
        self._spec_hash: str | None = None
        self._models: dict[str, str] = {}
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="worker")
        # However this process ends: multiprocessing waits at exit for every child, and these
        # ignore SIGTERM.
        atexit.register(self.close)

    async def run(self) -> None:
        """Until cancelled. Raises CannotStart when a worker cannot load."""
        await asyncio.gather(*(self._run(process) for process in self._processes))

    def close(self) -> None:
        """End the processes, whatever they are doing."""
        for process in self._processes:
            process.kill()

    async def _run(self, process: WorkerProcess) -> None:
        loop = asyncio.get_running_loop()
        while True:
            process.place = replace(process.place, models=self._models)
            process.start()
            try:
                loaded = await loop.run_in_executor(self._threads, process.wait_loaded)
            except WorkerLost as error:
                raise CannotStart(f"{error} while it loaded (is the memory full?)", 1) from None
            self._accept(process, loaded)
            try:
                await self._batcher.work(partial(self._measure, process))
            except WorkerLost as error:
                logger.error("%s; another is started", error)
                del self.loaded[process.place.number]
                self._on_lost(error)

    def _accept(self, process: WorkerProcess, loaded: Loaded) -> None:
        spec_hash = loaded.spec.spec_hash
        if spec_hash != (self._spec_hash or spec_hash):
            raise CannotStart(
                f"the models changed while they were served: they measure {spec_hash} now and "
                f"{self._spec_hash} before; start the service anew",
                1,
            )
        self._spec_hash = spec_hash
        self._models = loaded.spec.models
        self.loaded[process.place.number] = loaded
        self._on_loaded(loaded)

    async def _measure(self, process: WorkerProcess, utterances: list[Utterance]) -> list[Outcome]:
        measured = await asyncio.get_running_loop().run_in_executor(
            self._threads, process.measure, utterances, self._deadline_s
        )
        self._on_measured(measured)
        return measured.outcomes


@contextmanager
def stop_signals_blocked() -> Generator[None]:
    """A process that starts in here gets neither Ctrl-C nor SIGTERM until it unblocks them.

    A Ctrl-C while it still imports would print a traceback.
    """
    # multiprocessing starts its tracker with the first process and unblocks these signals then.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, worker.STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
