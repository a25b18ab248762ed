"""The reward service's queue: one thread, near lengths together, nothing lost or starved."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

import pytest

from services.reward.batcher import Batcher
from ttsrl.types import Failed, Outcome, Utterance


def utterance(length: int) -> Utterance:
    return Utterance(text="a", speech_tokens=[0] * length)


def measured(utterances: list[Utterance]) -> list[Outcome]:
    return [Failed(kind="nan", detail=str(len(u.speech_tokens))) for u in utterances]


def lengths(outcomes: list[Outcome]) -> list[int]:
    return [int(outcome.detail) for outcome in outcomes if isinstance(outcome, Failed)]


class Recorder:
    """Measures, and remembers its batches and whether two ran at once."""

    def __init__(self, seconds: float = 0.02) -> None:
        self.batches: list[list[int]] = []
        self.seconds = seconds
        self.lock = threading.Lock()

    def __call__(self, utterances: list[Utterance]) -> list[Outcome]:
        assert self.lock.acquire(blocking=False), "two threads in the pipeline"
        self.batches.append([len(u.speech_tokens) for u in utterances])
        time.sleep(self.seconds)
        self.lock.release()
        return measured(utterances)


def batcher(measure: Callable[[list[Utterance]], list[Outcome]], size: int = 4) -> Batcher:
    return Batcher(measure, size, on_depth=lambda depth: None)


def test_requests_share_batches_by_length_and_each_gets_its_own_in_order() -> None:
    recorder = Recorder()

    async def run() -> list[list[Outcome]]:
        queue = batcher(recorder)
        requests = ([9, 1], [2, 8], [7, 3], [4])
        return await asyncio.gather(*(queue.score([utterance(n) for n in r]) for r in requests))

    assert [lengths(outcomes) for outcomes in asyncio.run(run())] == [[9, 1], [2, 8], [7, 3], [4]]
    assert recorder.batches == [[1, 2, 3, 4], [7, 8, 9]]


def test_the_wait_of_each_batch_is_told() -> None:
    waits: list[float] = []

    async def run() -> None:
        queue = Batcher(Recorder(), 2, on_depth=lambda depth: None, on_wait=waits.append)
        await queue.score([utterance(n) for n in (1, 2, 3, 4)])

    asyncio.run(run())
    first, second = waits
    assert 0 <= first < second and second >= 0.02  # the first batch's measurement


def test_a_long_utterance_is_not_overtaken_for_ever() -> None:
    recorder = Recorder()

    async def run() -> None:
        queue = batcher(recorder, size=1)
        first = asyncio.gather(*(queue.score([utterance(n)]) for n in (1, 50)))
        await asyncio.sleep(0.01)
        await asyncio.gather(first, *(queue.score([utterance(2)]) for _ in range(5)))

    asyncio.run(run())
    assert recorder.batches[:2] == [[1], [50]]


def test_what_nobody_waits_for_is_not_measured() -> None:
    recorder = Recorder(seconds=0.1)

    async def run() -> None:
        queue = batcher(recorder, size=1)
        kept = asyncio.create_task(queue.score([utterance(1)]))
        left = asyncio.create_task(queue.score([utterance(2), utterance(3)]))
        await asyncio.sleep(0.03)
        left.cancel()
        await kept
        await queue.score([utterance(4)])

    asyncio.run(run())
    assert recorder.batches == [[1], [4]]


def test_an_error_reaches_its_own_batch_and_the_next_one_runs() -> None:
    def measure(utterances: list[Utterance]) -> list[Outcome]:
        if len(utterances[0].speech_tokens) == 1:
            raise RuntimeError("no memory")
        return measured(utterances)

    async def run() -> tuple[list[Outcome], BaseException | list[Outcome]]:
        queue = batcher(measure, size=1)
        broken, whole = await asyncio.gather(
            queue.score([utterance(1)]), queue.score([utterance(2)]), return_exceptions=True
        )
        assert isinstance(whole, list)
        return whole, broken

    whole, broken = asyncio.run(run())
    assert lengths(whole) == [2]
    with pytest.raises(RuntimeError, match="no memory"):
        raise broken  # type: ignore[misc]


def test_depth_is_what_still_waits() -> None:
    depths: list[int] = []

    async def run() -> None:
        queue = Batcher(measured, 2, on_depth=depths.append)
        await queue.score([utterance(n) for n in range(5)])

    asyncio.run(run())
    assert depths == [5, 3, 1, 0, 0]
