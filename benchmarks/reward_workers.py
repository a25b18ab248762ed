"""Rewards per second of one worker process and of two, on one thread each, in one run.

python benchmarks/reward_workers.py

Two workers need two idle cores; whatever else runs is in the ratio.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from reward_speed import CONFIG, DEADLINE_S, rollouts

from ttsrl.client.reward_client import RewardClient
from ttsrl.config.load import dump_run, load_run
from ttsrl.runtime.machine import cores
from ttsrl.wire import Failed, Utterance

PORT = 18431


def main() -> None:
    """Score one step's rollouts with both and print the ratio."""
    utterances = rollouts()
    rates = [len(utterances) / seconds_of(workers, utterances) for workers in (1, 2)]
    load = os.getloadavg()[0]
    print(f"{len(utterances)} rollouts, tiny stack, {cores():g} cores, load average {load:.1f}")
    for workers, rate in zip((1, 2), rates, strict=True):
        print(f"  {workers} worker{'s' * (workers > 1)}  {rate:7.1f} utterances/s")
    print(f"  ratio      {rates[1] / rates[0]:7.2f}")


def seconds_of(workers: int, utterances: list[Utterance]) -> float:
    """Seconds in which a service of that many workers scores all."""
    with TemporaryDirectory() as folder:
        config = Path(folder) / "run.json"
        config.write_text(dump_run(load_run(CONFIG, [f"reward.workers={workers}"])))
        command = [sys.executable, "-m", "ttsrl", "serve", "--config", str(config)]
        process = subprocess.Popen(
            [*command, "--port", str(PORT)], env={**os.environ, "OMP_NUM_THREADS": "1"}
        )
        try:
            return asyncio.run(score(utterances))
        finally:
            process.terminate()
            process.wait()


async def score(utterances: list[Utterance]) -> float:
    """Seconds from the first request to the last score."""
    async with RewardClient(f"http://127.0.0.1:{PORT}", deadline_s=DEADLINE_S) as client:
        await client.wait_ready(DEADLINE_S)
        await client.score(utterances[:1])
        begin = time.perf_counter()
        outcomes = await client.score(utterances)
        seconds = time.perf_counter() - begin
    if failed := [outcome for outcome in outcomes if isinstance(outcome, Failed)]:
        raise RuntimeError(f"{len(failed)} utterances failed: {failed[0]}")
    return seconds


if __name__ == "__main__":
    main()
