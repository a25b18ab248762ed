"""Gathers the utterances of concurrent requests into batches for one worker thread."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from ttsrl.types import Outcome, Utterance


@dataclass(frozen=True, eq=False)
class _Item:
    utterance: Utterance
    outcome: asyncio.Future[Outcome]
    arrived_s: float
    """On the monotonic clock."""


class Batcher:
    """Runs `measure` on batches of at most `batch_size`, never twice at a time.

    What waits when the thread comes free is measured in order of length, because a batch costs as
    much as its longest utterance; what arrives meanwhile waits for the next round, so that nothing
    starves. An utterance whose request was cancelled is not measured.
    """

    def __init__(
        self,
        measure: Callable[[list[Utterance]], list[Outcome]],
        batch_size: int,
        on_depth: Callable[[int], None],
        on_wait: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        """`on_depth` is told how many wait, `on_wait` how long a batch's oldest waited."""
        self._measure = measure
        self._batch_size = batch_size
        self._on_depth = on_depth
        self._on_wait = on_wait
        self._arrived: list[_Item] = []
        self._round: list[_Item] = []
        self._worker: asyncio.Task[None] | None = None
        self.thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="pipeline")

    async def score(self, utterances: Sequence[Utterance]) -> list[Outcome]:
        """One outcome an utterance, in order."""
        loop = asyncio.get_running_loop()
        now_s = time.monotonic()
        items = [_Item(utterance, loop.create_future(), now_s) for utterance in utterances]
        self._arrived += items
        self._report_depth()
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return await asyncio.gather(*(item.outcome for item in items))

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while batch := self._next_batch():
            utterances = [item.utterance for item in batch]
            self._on_wait(time.monotonic() - min(item.arrived_s for item in batch))
            try:
                outcomes = await loop.run_in_executor(self.thread, self._measure, utterances)
            except Exception as error:
                for item in batch:
                    if not item.outcome.done():
                        item.outcome.set_exception(error)
                continue
            for item, outcome in zip(batch, outcomes, strict=True):
                if not item.outcome.done():
                    item.outcome.set_result(outcome)

    def _next_batch(self) -> list[_Item]:
        self._round = [item for item in self._round if not item.outcome.done()]
        if not self._round:
            arrived = (item for item in self._arrived if not item.outcome.done())
            self._round = sorted(arrived, key=lambda item: len(item.utterance.speech_tokens))
            self._arrived = []
        batch, self._round = self._round[: self._batch_size], self._round[self._batch_size :]
        self._report_depth()
        return batch

    def _report_depth(self) -> None:
        self._on_depth(len(self._arrived) + len(self._round))
