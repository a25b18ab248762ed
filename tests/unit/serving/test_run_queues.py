"""Runs that share a reward service: each has a queue of its own, and they take turns."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client import REGISTRY

from ttsrl.serving.asking import UNNAMED
from ttsrl.serving.batcher import MAX_RUNS, Batcher, Full
from ttsrl.serving.body import MAX_BYTES_HELD, HeldBytes
from ttsrl.serving.queue_metrics import MOST_RUNS, QueueMetrics
from ttsrl.wire import Outcome, Utterance
from unit.serving.test_batcher import (
    DEADLINE_S,
    A,
    B,
    C,
    QueueRecord,
    held,
    measured,
    run,
    utterance,
)


def test_a_run_that_comes_late_waits_for_one_batch_and_not_for_the_flood_before_it() -> None:
    async def test() -> None:
        told = QueueRecord()
        queue = Batcher(2, 100, told)
        worker, first = await held(queue)
        flood = asyncio.create_task(queue.score([utterance(2)] * 8, DEADLINE_S, A))
        await asyncio.sleep(0)
        late = asyncio.create_task(queue.score([utterance(9)] * 3, DEADLINE_S, B))
        await asyncio.sleep(0)
        assert told.of_run == {A: 8, B: 3}
        worker.may_measure.set()
        await late
        await asyncio.gather(first, flood)
        # In turns, and the rest of a batch is the other's.
        assert worker.batches == [[1], [2, 2], [9, 9], [2, 2], [9, 2], [2, 2], [2]]
        assert told.of_run == {A: 0, B: 0}
        assert sum(count for name, count in told.takes if name == B) == 3

    run(test)


def test_who_comes_late_has_no_turns_saved_up() -> None:
    async def test() -> None:
        queue = Batcher(1, 100, QueueRecord())
        order: list[int] = []
        late: list[asyncio.Task[list[Outcome]]] = []

        async def measure(utterances: list[Utterance]) -> list[Outcome]:
            order.append(len(utterances[0].speech_tokens))
            if len(order) == 4:
                late.extend(
                    asyncio.create_task(queue.score([utterance(length)] * 3, DEADLINE_S, name))
                    for length, name in ((6, B), (7, C))
                )
                await asyncio.sleep(0)
            return measured(utterances)

        worker = asyncio.create_task(queue.work(measure))
        await queue.score([utterance(5)] * 7, DEADLINE_S, A)
        await asyncio.gather(*late)
        assert order == [5] * 4 + [5, 6, 7] * 3
        worker.cancel()

    run(test)


def test_the_run_that_floods_is_refused_and_no_other() -> None:
    async def test() -> None:
        told = QueueRecord()
        queue = Batcher(2, 4, told)
        worker, first = await held(queue)
        flood = asyncio.create_task(queue.score([utterance(2)] * 4, DEADLINE_S, A))
        await asyncio.sleep(0)
        with pytest.raises(Full, match="4 utterances of this run wait"):
            queue.admit(1, A)
        queue.admit(4, B)
        other = asyncio.create_task(queue.score([utterance(3)] * 4, DEADLINE_S, B))
        worker.may_measure.set()
        await asyncio.gather(first, flood, other)
        assert told.refusals == [A]
        queue.admit(4, A)

    run(test)


def test_names_without_end_are_refused() -> None:
    async def test() -> None:
        queue = Batcher(2, 4, QueueRecord())
        worker, first = await held(queue)
        waiting = [
            asyncio.create_task(queue.score([utterance(2)], DEADLINE_S, f"run-{n}"))
            for n in range(MAX_RUNS)
        ]
        await asyncio.sleep(0)
        with pytest.raises(Full, match=f"{MAX_RUNS} runs wait"):
            queue.admit(1, "one-more")
        queue.admit(1, "run-0")
        worker.may_measure.set()
        await asyncio.gather(first, *waiting)
        queue.admit(1, "one-more")

    run(test)


def test_a_run_whose_bodies_fill_the_memory_leaves_others_their_share() -> None:
    held_bytes = HeldBytes()
    assert held_bytes.add(A, MAX_BYTES_HELD)
    assert not held_bytes.add(A, 1)
    assert held_bytes.add(B, MAX_BYTES_HELD // 2)
    assert not held_bytes.add(B, 1)
    assert held_bytes.add(C, 1)
    assert held_bytes.add(A, -MAX_BYTES_HELD)
    assert held_bytes.add(A, 1)


def test_labels_of_runs_are_bounded() -> None:
    metrics = QueueMetrics()

    def value(name: str, label: str) -> float | None:
        return REGISTRY.get_sample_value(f"ttsrl_reward_run_{name}", {"run": label})

    for n in range(MOST_RUNS + 2):
        metrics.waits(f"run-{n}", 1, n + 1)
        metrics.taken(f"run-{n}", 2)
    assert value("queue_depth", "run-0") == 1
    assert value("queue_depth", f"run-{MOST_RUNS}") is None
    assert value("queue_depth", "(other)") == 2
    assert value("utterances_total", "(other)") == 4
    assert value("refused_total", "run-0") == 0
    metrics.waits(f"run-{MOST_RUNS}", 0, 0)
    assert value("queue_depth", "(other)") == 1
    for host in ("10.0.0.1", "10.0.0.2"):
        metrics.waits(UNNAMED + host, 3, 3)
    assert value("queue_depth", "(unnamed)") == 6
