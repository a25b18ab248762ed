"""The reward service's queue: near lengths together, requests whole, nothing lost or starved."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence

import pytest

from ttsrl.serving.batcher import Batcher, Full
from ttsrl.serving.messages import WorkerEnds, WorkerHung, WorkerLost
from ttsrl.wire import Failed, Outcome, Utterance

DEADLINE_S = 300.0
A, B, C = "run-a", "run-b", "run-c"


def utterance(length: int) -> Utterance:
    return Utterance(text="a", speech_tokens=[0] * length)


def measured(utterances: Sequence[Utterance]) -> list[Outcome]:
    return [Failed(kind="nan", detail=str(len(u.speech_tokens))) for u in utterances]


def lengths(outcomes: Sequence[Outcome]) -> list[int]:
    return [int(outcome.detail) for outcome in outcomes if isinstance(outcome, Failed)]


class QueueRecord:
    """Remembers what a queue tells."""

    def __init__(self) -> None:
        self.depths: list[int] = []
        self.waits_s: list[float] = []
        self.takes: list[tuple[str, int]] = []
        self.refusals: list[str] = []
        self.of_run: dict[str, int] = {}

    def waits(self, run: str, of_run: int, of_all: int) -> None:
        self.of_run[run] = of_run
        self.depths.append(of_all)

    def waited(self, seconds: float) -> None:
        self.waits_s.append(seconds)

    def taken(self, run: str, count: int) -> None:
        self.takes.append((run, count))

    def refused(self, run: str) -> None:
        self.refusals.append(run)


class Worker:
    """Measures when it is let, and remembers its batches."""

    def __init__(self, lost_on: int | None = None, error: type[WorkerLost] = WorkerLost) -> None:
        self.batches: list[list[int]] = []
        self.lost_on = lost_on
        self.error = error
        self.may_measure = asyncio.Event()
        self.may_measure.set()
        self.begun = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    async def __call__(self, utterances: list[Utterance]) -> list[Outcome]:
        self.batches.append([len(u.speech_tokens) for u in utterances])
        self.begun.set()
        await self.may_measure.wait()
        if self.lost_on in self.batches[-1]:
            raise self.error("the worker is gone")
        return measured(utterances)

    async def run(self, queue: Batcher) -> None:
        """As the pool does: another process in place of a lost one."""
        while True:
            try:
                await queue.work(self)
            except WorkerLost:
                continue


def batcher(size: int = 4, capacity: int = 100) -> Batcher:
    return Batcher(size, capacity, QueueRecord())


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(DEADLINE_S):
            await test()

    asyncio.run(bounded())


async def held(queue: Batcher) -> tuple[Worker, asyncio.Task[list[Outcome]]]:
    """A worker that holds a batch of length 1, so that what comes now waits."""
    worker = Worker()
    worker.may_measure.clear()
    worker.task = asyncio.create_task(worker.run(queue))
    first = asyncio.create_task(queue.score([utterance(1)], DEADLINE_S, A))
    await worker.begun.wait()
    return worker, first


def test_requests_share_batches_by_length_stay_whole_and_get_their_own_in_order() -> None:
    async def test() -> None:
        queue = batcher()
        worker, first = await held(queue)
        requests = ([9, 1], [2, 8], [7, 3], [4])
        scores = [
            asyncio.create_task(queue.score([utterance(n) for n in r], DEADLINE_S, A))
            for r in requests
        ]
        await asyncio.sleep(0)
        worker.may_measure.set()
        assert lengths(await first) == [1]
        assert [lengths(await score) for score in scores] == [[9, 1], [2, 8], [7, 3], [4]]
        assert worker.batches == [[1], [4, 7, 3, 2], [8, 9, 1]]

    run(test)


def test_a_batch_is_filled_from_the_next_round() -> None:
    async def test() -> None:
        queue = batcher(size=2)
        worker, first = await held(queue)
        waiting = [
            asyncio.create_task(queue.score([utterance(n)], DEADLINE_S, A)) for n in (5, 6, 7)
        ]
        await asyncio.sleep(0)
        worker.may_measure.set()
        worker.may_measure.clear()  # one batch, and the next is held
        await first
        late = asyncio.create_task(queue.score([utterance(3)], DEADLINE_S, A))
        await asyncio.sleep(0)
        worker.may_measure.set()
        await asyncio.gather(*waiting, late)
        assert worker.batches == [[1], [5, 6], [7, 3]]

    run(test)


def test_a_long_utterance_is_not_overtaken_for_ever() -> None:
    async def test() -> None:
        queue = batcher(size=1)
        worker, first = await held(queue)
        waiting = [asyncio.create_task(queue.score([utterance(n)], DEADLINE_S, A)) for n in (50, 2)]
        await asyncio.sleep(0)
        worker.begun.clear()
        worker.may_measure.set()
        await first
        await worker.begun.wait()
        late = asyncio.create_task(queue.score([utterance(3)], DEADLINE_S, A))
        await asyncio.gather(*waiting, late)
        assert worker.batches == [[1], [2], [50], [3]]

    run(test)


def test_what_nobody_waits_for_is_not_measured() -> None:
    async def test() -> None:
        queue = batcher(size=1)
        worker, first = await held(queue)
        left = asyncio.create_task(queue.score([utterance(2), utterance(3)], DEADLINE_S, A))
        await asyncio.sleep(0)
        left.cancel()
        await asyncio.gather(left, return_exceptions=True)
        assert queue.depth == 0
        worker.may_measure.set()
        await first
        await queue.score([utterance(4)], DEADLINE_S, A)
        assert worker.batches == [[1], [4]]

    run(test)


def test_two_workers_measure_at_the_same_time() -> None:
    async def test() -> None:
        queue = batcher(size=1)
        first, scored = await held(queue)
        second, other = await held(queue)
        assert (first.batches, second.batches) == ([[1]], [[1]])
        first.may_measure.set()
        second.may_measure.set()
        await asyncio.gather(scored, other)

    run(test)


def test_a_full_queue_says_so_and_takes_more_once_it_is_shorter() -> None:
    async def test() -> None:
        queue = batcher(size=2, capacity=3)
        worker, first = await held(queue)
        waiting = asyncio.create_task(queue.score([utterance(2)] * 3, DEADLINE_S, A))
        await asyncio.sleep(0)
        with pytest.raises(Full) as refused:
            await queue.score([utterance(3)], DEADLINE_S, A)
        assert 1 <= int(refused.value.headers["Retry-After"]) <= 30
        worker.may_measure.set()
        await asyncio.gather(first, waiting)
        assert lengths(await queue.score([utterance(3)], DEADLINE_S, A)) == [3]
        # Else a request larger than the queue would be refused for ever.
        assert len(await queue.score([utterance(4)] * 5, DEADLINE_S, A)) == 5

    run(test)


def test_what_has_no_outcome_by_its_deadline_fails_and_is_not_measured_any_more() -> None:
    async def test() -> None:
        queue = batcher(size=1)
        worker, first = await held(queue)
        (late,) = await queue.score([utterance(2)], 0.01, A)
        assert isinstance(late, Failed)
        assert late.kind == "deadline"
        worker.may_measure.set()
        assert lengths(await first) == [1]
        assert worker.batches == [[1]]

    run(test)


@pytest.mark.parametrize(("error", "kind"), [(WorkerLost, "scorer"), (WorkerHung, "deadline")])
def test_an_utterance_that_ends_every_worker_fails_alone(
    error: type[WorkerLost], kind: str
) -> None:
    async def test() -> None:
        queue = batcher()
        worker = Worker(lost_on=3, error=error)
        task = asyncio.create_task(worker.run(queue))
        outcomes = await queue.score([utterance(n) for n in (1, 2, 3)], DEADLINE_S, A)
        assert lengths(outcomes[:2]) == [1, 2]
        assert isinstance(outcomes[2], Failed)
        assert (outcomes[2].kind, outcomes[2].detail) == (kind, "the worker is gone")
        # The whole batch, and then each of it alone.
        assert worker.batches == [[1, 2, 3], [1], [2], [3]]
        task.cancel()

    run(test)


def test_a_batch_whose_worker_was_killed_from_outside_loses_nothing() -> None:
    async def test() -> None:
        queue = batcher()
        scored = asyncio.create_task(queue.score([utterance(n) for n in (1, 2)], DEADLINE_S, A))
        with pytest.raises(WorkerLost):
            await queue.work(Worker(lost_on=1))
        task = asyncio.create_task(Worker().run(queue))
        assert lengths(await scored) == [1, 2]
        task.cancel()

    run(test)


def test_the_last_batch_of_a_worker_that_ends_is_answered_and_not_measured_again() -> None:
    async def test() -> None:
        queue = batcher()
        scored = asyncio.create_task(queue.score([utterance(1)], DEADLINE_S, A))

        async def last(utterances: list[Utterance]) -> list[Outcome]:
            raise WorkerEnds("a scorer hangs", measured(utterances))

        with pytest.raises(WorkerEnds):
            await queue.work(last)
        assert lengths(await scored) == [1]
        assert queue.depth == 0

    run(test)


def test_depth_is_what_still_waits() -> None:
    told = QueueRecord()

    async def test() -> None:
        queue = Batcher(2, 100, told)
        task = asyncio.create_task(Worker().run(queue))
        await queue.score([utterance(n) for n in range(5)], DEADLINE_S, A)
        task.cancel()

    run(test)
    assert [depth for depth, _ in itertools.groupby(told.depths)] == [5, 3, 1, 0]


def test_waiting_is_told_once_a_batch() -> None:
    told = QueueRecord()

    async def test() -> None:
        queue = Batcher(2, 100, told)
        task = asyncio.create_task(Worker().run(queue))
        await queue.score([utterance(n) for n in range(5)], DEADLINE_S, A)
        task.cancel()

    run(test)
    assert len(told.waits_s) == 3
    assert told.waits_s == sorted(told.waits_s)
    assert told.waits_s[0] >= 0
