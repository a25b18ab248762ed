"""Gathers the utterances of concurrent requests into batches: a bounded queue for each run."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from ttsrl.serving.messages import WorkerEnds, WorkerHung, WorkerLost
from ttsrl.serving.run_queue import QueuedUtterance, RunQueue, wanted
from ttsrl.wire import Failed, Outcome, Utterance

RETRY_AFTER_S = (1, 30)
"""Bounds of what a refused client is asked to wait."""
MAX_RUNS = 64
"""Runs and addresses of which something may wait at the same time."""
NEWEST_SHARE = 0.2
"""Weight of the newest batch in the mean time an utterance takes."""

Measure = Callable[[list[Utterance]], Awaitable[list[Outcome]]]


class Full(Exception):
    """So many wait that more would only wait in vain."""

    def __init__(self, detail: str, retry_after_s: int) -> None:
        super().__init__(detail)
        self.headers = {"Retry-After": str(retry_after_s)}


class Watcher(Protocol):
    """Is told what waits and what is refused; a run is a name, or an address without one."""

    def waits(self, run: str, of_run: int, of_all: int) -> None:
        """So many utterances wait for a worker now."""
        ...

    def waited(self, seconds: float) -> None:
        """The oldest utterance of a batch has waited so long."""
        ...

    def taken(self, run: str, count: int) -> None:
        """So many utterances of a run go to a worker."""
        ...

    def refused(self, run: str) -> None:
        """A request had no room."""
        ...


class Batcher:
    """Forms batches of at most `batch_size`; each worker that runs `work` takes one at a time.

    Runs take turns: a batch is of the run of which the fewest utterances were taken, and is filled
    from the next ones. So each gets the same share of the workers while it has something to
    measure, and what it does not need is the others'. An utterance whose request was cancelled is
    not measured.
    """

    def __init__(self, batch_size: int, capacity: int, watcher: Watcher) -> None:
        """`capacity`: utterances that may wait of each run."""
        self._batch_size = batch_size
        self._capacity = capacity
        self._watcher = watcher
        self._queues: dict[str, RunQueue] = {}
        self._suspects: list[QueuedUtterance] = []
        self._arrival = asyncio.Event()
        self._workers = 0
        self._seconds_each = 0.0

    @property
    def depth(self) -> int:
        """Utterances that wait for a worker."""
        return sum(map(len, self._queues.values())) + len(self._suspects)

    def admit(self, count: int, run: str) -> None:
        """Raises Full when a run has no room for `count` more; where none of it waits, any request
        is taken."""
        queue = self._queues.get(run)
        if queue is None and len(self._queues) < MAX_RUNS:
            return
        waiting = 0 if queue is None else len(queue)
        if queue is not None and waiting + count <= self._capacity:
            return
        self._watcher.refused(run)
        ahead = min(self.depth, max(1, waiting) * len(self._queues))
        wait_s = ahead * self._seconds_each / max(1, self._workers)
        shortest_s, longest_s = RETRY_AFTER_S
        retry_after_s = min(longest_s, max(shortest_s, math.ceil(wait_s)))
        if queue is None:
            raise Full(f"{len(self._queues)} runs wait already; come back later", retry_after_s)
        detail = f"{waiting} utterances of this run wait already; come back later"
        raise Full(detail, retry_after_s)

    async def score(
        self, utterances: Sequence[Utterance], deadline_s: float, run: str
    ) -> list[Outcome]:
        """One outcome per utterance, in order; what has none in time is Failed. Raises Full."""
        self.admit(len(utterances), run)
        if not utterances:
            return []
        loop = asyncio.get_running_loop()
        now_s = time.monotonic()
        longest = max(len(utterance.speech_tokens) for utterance in utterances)
        items = [QueuedUtterance(u, loop.create_future(), now_s, longest) for u in utterances]
        queue = self._queue(run)
        queue.add(items)
        self._report(queue)
        try:
            await asyncio.wait({item.outcome for item in items}, timeout=deadline_s)
            late = Failed(kind="deadline", detail=f"not measured within {deadline_s:g} s")
            return [item.outcome.result() if item.outcome.done() else late for item in items]
        finally:
            for item in items:
                item.outcome.cancel()
            self._suspects = wanted(self._suspects)
            queue.drop_unwanted()
            self._report(queue)

    async def work(self, measure: Measure) -> None:
        """Have one worker measure batch after batch. Raises WorkerLost when `measure` does."""
        self._workers += 1
        try:
            while True:
                batch = await self._next_batch()
                self._watcher.waited(time.monotonic() - min(item.arrived_s for item in batch))
                start_s = time.monotonic()
                try:
                    outcomes = await measure([item.utterance for item in batch])
                except WorkerEnds as error:
                    _settle(batch, error.outcomes)
                    raise
                except WorkerLost as error:
                    self._return(batch, error)
                    raise
                seconds_each = (time.monotonic() - start_s) / len(batch)
                self._seconds_each += NEWEST_SHARE * (seconds_each - self._seconds_each)
                _settle(batch, outcomes)
        finally:
            self._workers -= 1

    def _return(self, batch: list[QueuedUtterance], error: WorkerLost) -> None:
        """Each of a lost batch gets one more chance, alone, lest it take others with it again."""
        kind = "deadline" if isinstance(error, WorkerHung) else "scorer"
        for item in batch:
            item.losses += 1
            if item.losses == 1:
                self._suspects.append(item)
            elif not item.outcome.done():
                item.outcome.set_result(Failed(kind=kind, detail=str(error)))
        if self._suspects:
            self._arrival.set()

    async def _next_batch(self) -> list[QueuedUtterance]:
        while True:
            if batch := self._take():
                return batch
            self._arrival.clear()
            await self._arrival.wait()

    def _take(self) -> list[QueuedUtterance]:
        self._suspects = wanted(self._suspects)
        if self._suspects:
            return [self._suspects.pop(0)]
        batch: list[QueuedUtterance] = []
        for queue in sorted(self._queues.values(), key=lambda queue: queue.taken):
            if taken := queue.take(self._batch_size - len(batch)):
                self._watcher.taken(queue.name, len(taken))
            batch += taken
            self._report(queue)
            if len(batch) == self._batch_size:
                break
        return batch

    def _queue(self, run: str) -> RunQueue:
        """Of a run; one that comes now has its turn as if it had been here, and no more."""
        if run not in self._queues:
            taken = min((queue.taken for queue in self._queues.values()), default=0)
            self._queues[run] = RunQueue(run, taken)
        return self._queues[run]

    def _report(self, queue: RunQueue) -> None:
        if not len(queue) and self._queues.get(queue.name) is queue:
            del self._queues[queue.name]
        if self.depth:
            self._arrival.set()
        waiting = self._queues.get(queue.name, ())
        self._watcher.waits(queue.name, len(waiting), self.depth)


def _settle(batch: list[QueuedUtterance], outcomes: list[Outcome]) -> None:
    for item, outcome in zip(batch, outcomes, strict=True):
        if not item.outcome.done():
            item.outcome.set_result(outcome)
