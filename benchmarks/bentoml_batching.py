"""The same pipeline behind BentoML's own batching and workers, against the reward service.

PYTHONPATH=.:tests python benchmarks/bentoml_batching.py

It prints rewards per second of both, and what becomes of requests while BentoML's worker is killed
or hangs: the measurements on which ttsrl/serving/README.md rests.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Any

import bentoml
import httpx
import psutil

from support.reward_server import RewardServer, start
from ttsrl.config.load import load_run
from ttsrl.wire import ScoreRequest, Utterance

PER_REQUEST = 12
"""A group of rollouts, as the trainer sends it."""
ROUNDS = 5
HANG_S = 15.0
"""How long a stopped worker is waited for."""


@bentoml.service(workers=1, traffic={"timeout": 600}, envs=[{"name": "TTSRL_RUN_CONFIG"}])
class AdaptiveBatching:
    """The pipeline as BentoML's guide writes a batched model."""

    def __init__(self) -> None:
        from ttsrl.serving.pipeline import Pipeline

        self.pipeline = Pipeline(load_run(os.environ["TTSRL_RUN_CONFIG"]))
        self.pipeline.warm_up()

    @bentoml.api(route="/v1/score", batchable=True, max_batch_size=32, max_latency_ms=600_000)
    def score(self, utterances: list[Utterance]) -> list[dict[str, Any]]:
        return [outcome.model_dump() for outcome in self.pipeline.score(utterances)]


def main() -> None:
    from reward_speed import rollouts  # BentoML imports this file, from another folder

    utterances = rollouts()
    native = [
        sys.executable,
        "-m",
        "bentoml",
        "serve",
        "benchmarks.bentoml_batching:AdaptiveBatching",
    ]
    native += ["--host", "127.0.0.1", "--port", "{port}"]
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        ours = start(Path(one))
        ours.wait_ready()
        bento = start(Path(other), command=native)
        try:
            bento.wait_ready()
            asyncio.run(speed(ours, bento, utterances))
            asyncio.run(trouble(bento, utterances, signal.SIGKILL))
            asyncio.run(trouble(bento, utterances, signal.SIGSTOP))
        finally:
            ours.stop()
            bento.stop(signal.SIGKILL)


async def speed(ours: RewardServer, bento: RewardServer, utterances: list[Utterance]) -> None:
    """Both take turns, so that what else runs on the machine slows both."""
    seconds: dict[str, list[float]] = {"reward service": [], "BentoML's batching": []}
    for number in range(ROUNDS + 1):  # the first one warms up, and trains BentoML's dispatcher
        for server, times in zip((ours, bento), seconds.values(), strict=True):
            begin = time.perf_counter()
            codes = await send_all(server, utterances)
            if number:
                times.append(time.perf_counter() - begin)
            if set(codes) != {"200"}:
                print(f"  {server.url}: {dict(codes)}")
    for name, times in seconds.items():
        print(f"{name:20}{len(utterances) / median(times):7.1f} utterances/s")


async def trouble(bento: RewardServer, utterances: list[Utterance], number: signal.Signals) -> None:
    """Signals the worker while it measures; counts answers, and seconds until it serves again."""
    sending = asyncio.create_task(send_all(bento, utterances, timeout_s=HANG_S))
    await asyncio.sleep(1.0)
    worker = next(
        child
        for child in psutil.Process(bento.process.pid).children(recursive=True)
        if "_bentoml_impl.worker.service" in child.cmdline()
    )
    worker.send_signal(number)
    begin = time.monotonic()
    codes = await sending
    print(f"worker gets {number.name} while it measures: {dict(codes)}")
    while time.monotonic() - begin < 60:
        try:
            if httpx.get(f"{bento.url}/readyz", timeout=2).status_code == 200:
                break
        except httpx.TransportError:
            await asyncio.sleep(0.2)
    else:
        print("  it does not serve again within 60 s")
        return
    print(f"  serves again after {time.monotonic() - begin:.0f} s")


async def send_all(
    server: RewardServer, utterances: list[Utterance], timeout_s: float = 600.0
) -> Counter[str]:
    """All groups at once; how they were answered."""

    async def send(group: list[Utterance]) -> str:
        body = ScoreRequest(utterances=group).model_dump(mode="json")
        try:
            answer = await http.post(f"{server.url}/v1/score", json=body)
        except httpx.HTTPError as error:
            return type(error).__name__
        return str(answer.status_code)

    groups = [utterances[n : n + PER_REQUEST] for n in range(0, len(utterances), PER_REQUEST)]
    async with httpx.AsyncClient(timeout=timeout_s) as http:
        return Counter(await asyncio.gather(*map(send, groups)))


if __name__ == "__main__":
    main()
