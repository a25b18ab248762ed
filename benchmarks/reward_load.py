"""A reward service under 4 times its capacity: PYTHONPATH=.:tests python benchmarks/reward_load.py

First its capacity is measured: utterances per second with just enough clients to keep it busy. Then
four times as many arrive, whether the earlier ones were answered or not. What is too much must be
answered with 429, every accepted utterance once with its own score, and memory must stay level.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import httpx
import psutil

from support.reward_server import RewardServer, assert_same, metrics, start, utterances
from ttsrl.wire import Outcome, ScoreRequest, ScoreResponse, Utterance

BATCH = 8
"""Utterances per request."""
DISTINCT = 64
"""Different utterances; each has its score, by which a mixed-up answer is seen."""
OVERLOAD = 4
MEMORY_GROWTH = 1.2
"""Of the last third of the run against the first: more is a leak."""


@dataclass
class Overload:
    """What came of the requests."""

    sent: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    wrong: int = 0
    retry_after_s: Counter[str] = field(default_factory=Counter)
    rss_mib: list[tuple[float, int, int]] = field(default_factory=list)
    """Seconds since the start, MiB of the front process, MiB of its workers."""


async def capacity(server: RewardServer, items: list[Utterance], seconds: float) -> float:
    """Utterances per second with four clients, each of which waits for its answer."""
    load, known = Overload(), [None] * len(items)
    async with client(server) as http:
        deadline = time.monotonic() + seconds

        async def ask(first: int) -> None:
            while time.monotonic() < deadline:
                await request(http, items, known, first, load)

        await asyncio.gather(*(ask(BATCH * n) for n in range(4)))
    return load.codes["200"] * BATCH / seconds


async def overload(
    server: RewardServer, items: list[Utterance], known: list[Outcome], rate: float, seconds: float
) -> Overload:
    """Requests at `rate` utterances per second for that long, answered or not."""
    load = Overload()
    watching = asyncio.create_task(watch(server, load))
    begin = time.monotonic()
    async with client(server) as http, asyncio.TaskGroup() as tasks:
        while (now := time.monotonic() - begin) < seconds:
            while load.sent * BATCH < now * rate:
                first = load.sent * BATCH % len(items)
                tasks.create_task(request(http, items, known, first, load))
                load.sent += 1
            await asyncio.sleep(0.01)
    watching.cancel()
    return load


async def request(
    http: httpx.AsyncClient,
    items: list[Utterance],
    known: list[Outcome] | list[None],
    first: int,
    load: Overload,
) -> None:
    """One request; an answer has to be the one of just these utterances."""
    rows = [(first + k) % len(items) for k in range(BATCH)]
    body = ScoreRequest(utterances=[items[row] for row in rows]).model_dump_json()
    begin = time.monotonic()
    try:
        answer = await http.post("/v1/score", content=body)
    except httpx.HTTPError as error:
        load.codes[type(error).__name__] += 1
        return
    load.codes[str(answer.status_code)] += 1
    if answer.status_code == 429:
        load.retry_after_s[answer.headers["retry-after"]] += 1
    if answer.status_code == 200:
        load.seconds.append(time.monotonic() - begin)
        outcomes = ScoreResponse.model_validate_json(answer.content).outcomes
        expected = [known[row] for row in rows]
        try:
            assert_same(outcomes, [o for o in expected if o is not None] or outcomes)
        except AssertionError:
            load.wrong += 1


async def watch(server: RewardServer, load: Overload) -> None:
    """Memory every few seconds."""
    front = psutil.Process(server.process.pid)
    begin = time.monotonic()
    while True:
        workers = sum(child.memory_info().rss for child in front.children(recursive=True))
        mib = (front.memory_info().rss >> 20, workers >> 20)
        load.rss_mib.append((time.monotonic() - begin, *mib))
        await asyncio.sleep(5)


def client(server: RewardServer) -> httpx.AsyncClient:
    """Of as many connections as there are requests."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=100)
    headers = {"content-type": "application/json"}
    return httpx.AsyncClient(base_url=server.url, timeout=300, limits=limits, headers=headers)


def main() -> None:
    """Prints what came of it; fails if an answer was lost or wrong, or memory grew."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--queue", type=int, default=256, help="reward.queue_size of the service")
    arguments = parser.parse_args()
    items = utterances(DISTINCT, seed=9)
    with tempfile.TemporaryDirectory() as folder:
        server = start(Path(folder), [f"reward.queue_size={arguments.queue}"])
        try:
            server.wait_ready()
            with httpx.Client(base_url=server.url, timeout=300) as http:
                body = ScoreRequest(utterances=items).model_dump_json()
                answer = http.post(
                    "/v1/score", content=body, headers={"content-type": "application/json"}
                )
                known = ScoreResponse.model_validate_json(answer.content).outcomes
            measured = asyncio.run(capacity(server, items, min(20.0, arguments.seconds / 4)))
            rate = OVERLOAD * measured
            load = asyncio.run(overload(server, items, known, rate, arguments.seconds))
            state = metrics(server)
        finally:
            server.stop()
    raise SystemExit(report(load, measured, arguments.seconds, state))


def report(load: Overload, measured: float, seconds: float, state: dict[str, float]) -> bool:
    """Prints the figures; whether something is wrong."""
    scored = load.codes["200"] * BATCH / seconds
    print(f"capacity {measured:.0f} utterances/s; {OVERLOAD}x offered for {seconds:.0f} s")
    print(
        f"requests sent {load.sent}, answered {dict(load.codes)}, Retry-After {load.retry_after_s}"
    )
    print(f"scored under overload {scored:.0f} utterances/s, wrong answers {load.wrong}")
    if load.seconds:
        print(
            f"seconds to scores: median {median(load.seconds):.2f}, worst {max(load.seconds):.2f}"
        )
    print("MiB of the service / of its worker, over the run:")
    step = max(1, len(load.rss_mib) // 12)
    print("  " + "  ".join(f"{t:.0f}s {front}/{w}" for t, front, w in load.rss_mib[::step]))
    third = max(1, len(load.rss_mib) // 3)
    first, last = (
        median(front + workers for _, front, workers in part)
        for part in (load.rss_mib[:third], load.rss_mib[-third:])
    )
    print(f"memory of the last third / of the first: {last / first:.2f}")
    problems = {
        "a request has no answer": sum(load.codes.values()) != load.sent,
        "an answer is neither scores nor 429": bool(load.codes.keys() - {"200", "429"}),
        "scores of other utterances": load.wrong > 0,
        "nothing was refused: no overload": not load.codes["429"],
        "memory grew": last > MEMORY_GROWTH * first,
        "something is left in the queue": state["ttsrl_reward_in_flight{}"] != 0,
        "a worker was lost": state['ttsrl_reward_workers_lost_total{"reason": "died"}'] > 0,
    }
    for name, found in problems.items():
        if found:
            print(f"PROBLEM {name}")
    return any(problems.values())


if __name__ == "__main__":
    main()
