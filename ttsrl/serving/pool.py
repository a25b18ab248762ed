"""The worker processes of the service: fed from one queue, replaced one by one when they fail."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from ttsrl.serving.batcher import Batcher
from ttsrl.serving.engine import CannotStart, WorkerLost, WorkerProcess
from ttsrl.serving.worker import Loaded, Measured
from ttsrl.wire import Outcome, Utterance

logger = logging.getLogger("bentoml.reward")


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
        self._engines = [WorkerProcess(config, number, workers) for number in range(workers)]
        self._batcher = batcher
        self._deadline_s = deadline_s
        self._on_loaded = on_loaded
        self._on_measured = on_measured
        self._on_lost = on_lost
        self._spec_hash: str | None = None
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="worker")

    async def run(self) -> None:
        """Until cancelled. Raises CannotStart when a worker cannot load."""
        await asyncio.gather(*(self._run(engine) for engine in self._engines))

    def close(self) -> None:
        """End the processes, whatever they are doing."""
        for engine in self._engines:
            engine.kill()

    async def _run(self, engine: WorkerProcess) -> None:
        loop = asyncio.get_running_loop()
        while True:
            engine.start()
            try:
                loaded = await loop.run_in_executor(self._threads, engine.wait_loaded)
            except WorkerLost as error:
                raise CannotStart(f"{error} while it loaded (is the memory full?)", 1) from None
            self._accept(engine, loaded)
            try:
                await self._batcher.work(partial(self._measure, engine))
            except WorkerLost as error:
                logger.error("%s; another is started", error)
                del self.loaded[engine.number]
                self._on_lost(error)

    def _accept(self, engine: WorkerProcess, loaded: Loaded) -> None:
        spec_hash = loaded.spec.spec_hash
        if spec_hash != (self._spec_hash or spec_hash):
            raise CannotStart(
                f"the models changed while they were served: they measure {spec_hash} now and "
                f"{self._spec_hash} before; start the service anew",
                1,
            )
        self._spec_hash = spec_hash
        self.loaded[engine.number] = loaded
        self._on_loaded(loaded)

    async def _measure(self, engine: WorkerProcess, utterances: list[Utterance]) -> list[Outcome]:
        measured = await asyncio.get_running_loop().run_in_executor(
            self._threads, engine.measure, utterances, self._deadline_s
        )
        self._on_measured(measured)
        return measured.outcomes
