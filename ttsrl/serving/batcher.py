"""Gathers the utterances of concurrent requests into batches for the workers: one bounded queue."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from ttsrl.serving.messages import WorkerEnds, WorkerHung, WorkerLost
from ttsrl.wire import Failed, Outcome, Utterance

RETRY_AFTER_S = (1, 30)
"""Bounds of what a refused client is asked to wait."""
NEWEST_SHARE = 0.2
"""Weight of the newest batch in the mean time an utterance takes."""

Measure = Callable[[list[Utterance]], Awaitable[list[Outcome]]]


class Full(Exception):
    """So many wait that more would only wait in vain."""

    def __init__(self, detail: str, retry_after_s: int) -> None:
        super().__init__(detail)
        self.headers = {"Retry-After": str(retry_after_s)}


@dataclass(eq=False)
class _QueuedUtterance:
    utterance: Utterance
    outcome: asyncio.Future[Outcome]
    arrived_s: float
    """On the monotonic clock."""
    longest: int
    """Tokens of the longest utterance of its request."""
    losses: int = 0
    """Workers that were lost while they measured it."""


class Batcher:
    """Forms batches of at most `batch_size`; each worker that runs `work` takes one at a time.

    What waits when a worker comes free is measured in order of length, because utterances of one
    length are decoded together; a request stays whole, because it is answered when its last
    utterance is, and its client may have more. What arrives meanwhile waits for the next round, so
    that nothing starves; the last batch of a round is filled from the next, because a small batch
    takes nearly as long as a full one. An utterance whose request was cancelled is not measured.
    """

    def __init__(
        self,
        batch_size: int,
        capacity: int,
        on_depth: Callable[[int], None],
        on_wait: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        """`on_depth` gets how many wait; `on_wait` how many seconds a batch's oldest waited."""
        self._batch_size = batch_size
        self._capacity = capacity
        self._on_depth = on_depth
        self._on_wait = on_wait
        self._arrived: list[_QueuedUtterance] = []
        self._round: list[_QueuedUtterance] = []
        self._suspects: list[_QueuedUtterance] = []
        self._arrival = asyncio.Event()
        self._workers = 0
        self._seconds_each = 0.0

    @property
    def depth(self) -> int:
        """Utterances that wait for a worker."""
        return len(self._arrived) + len(self._round) + len(self._suspects)

    def admit(self, count: int) -> None:
        """Raises Full when there is no room for `count` more; an empty queue takes any request."""
        if self.depth and self.depth + count > self._capacity:
            wait_s = self.depth * self._seconds_each / max(1, self._workers)
            shortest_s, longest_s = RETRY_AFTER_S
            retry_after_s = min(longest_s, max(shortest_s, math.ceil(wait_s)))
            raise Full(f"{self.depth} utterances wait already; come back later", retry_after_s)

    async def score(self, utterances: Sequence[Utterance], deadline_s: float) -> list[Outcome]:
        """One outcome per utterance, in order; what has none in time is Failed. Raises Full."""
        self.admit(len(utterances))
        if not utterances:
            return []
        loop = asyncio.get_running_loop()
        now_s = time.monotonic()
        longest = max(len(utterance.speech_tokens) for utterance in utterances)
        items = [_QueuedUtterance(u, loop.create_future(), now_s, longest) for u in utterances]
        self._arrived += items
        self._report()
        try:
            await asyncio.wait({item.outcome for item in items}, timeout=deadline_s)
            late = Failed(kind="deadline", detail=f"not measured within {deadline_s:g} s")
            return [item.outcome.result() if item.outcome.done() else late for item in items]
        finally:
            for item in items:
                item.outcome.cancel()
            self._suspects, self._round, self._arrived = map(
                _wanted, (self._suspects, self._round, self._arrived)
            )
            self._report()

    async def work(self, measure: Measure) -> None:
        """Have one worker measure batch after batch. Raises WorkerLost when `measure` does."""
        self._workers += 1
        try:
            while True:
                batch = await self._next_batch()
                self._on_wait(time.monotonic() - min(item.arrived_s for item in batch))
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

    def _return(self, batch: list[_QueuedUtterance], error: WorkerLost) -> None:
        """Each of a lost batch gets one more chance, alone, lest it take others with it again."""
        kind = "deadline" if isinstance(error, WorkerHung) else "scorer"
        for item in batch:
            item.losses += 1
            if item.losses == 1:
                self._suspects.append(item)
            elif not item.outcome.done():
                item.outcome.set_result(Failed(kind=kind, detail=str(error)))
        self._report()

    async def _next_batch(self) -> list[_QueuedUtterance]:
        while True:
            if batch := self._take():
                self._report()
                return batch
            self._arrival.clear()
            self._report()
            await self._arrival.wait()

    def _take(self) -> list[_QueuedUtterance]:
        self._suspects = _wanted(self._suspects)
        if self._suspects:
            return [self._suspects.pop(0)]
        self._round = _wanted(self._round)
        if len(self._round) < self._batch_size:
            arrived, self._arrived = _wanted(self._arrived), []
            self._round += sorted(arrived, key=lambda item: item.longest)
        batch, self._round = self._round[: self._batch_size], self._round[self._batch_size :]
        return batch

    def _report(self) -> None:
        if self.depth:
            self._arrival.set()
        self._on_depth(self.depth)


def _settle(batch: list[_QueuedUtterance], outcomes: list[Outcome]) -> None:
    for item, outcome in zip(batch, outcomes, strict=True):
        if not item.outcome.done():
            item.outcome.set_result(outcome)


def _wanted(items: list[_QueuedUtterance]) -> list[_QueuedUtterance]:
    return [item for item in items if not item.outcome.done()]
