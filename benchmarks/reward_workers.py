"""Rewards per second of one worker process and of two, in one run.

python benchmarks/reward_workers.py                 the tiny stack, a thread for each worker
On two GPUs: the same with --shape large-v3 --count 2048 --folder DIR, a GPU for each worker

On a CPU two workers need two idle cores; whatever else runs is in the ratio. On GPUs the weights
are random, and 3 % of each text's words are not what Whisper hears; nothing is remembered.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import random_models
import service_speed
from reward_speed import CONFIG, DEADLINE_S, rollouts
from whisper_speed import machine

from ttsrl.client.reward_client import RewardClient
from ttsrl.config.load import dump_run, load_run
from ttsrl.runtime.machine import torch_device
from ttsrl.wire import Failed, Ok, Outcome, Utterance

PORT = 18431
PASSES = 3
"""The last one is measured: every worker has then planned its kernels for these lengths."""


def main() -> None:
    """Score the same utterances with one worker and with two, and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", choices=[*random_models.SHAPES], help="random weights")
    parser.add_argument("--count", type=int, default=512, help="utterances, with --shape")
    parser.add_argument("--batch", type=int, default=64, help="with --shape")
    parser.add_argument("--folder", type=Path, help="where models are, or will be, with --shape")
    arguments = parser.parse_args()
    device = torch_device()
    with TemporaryDirectory() as temporary:
        if not arguments.shape:
            config, utterances = Path(CONFIG), rollouts()
        else:
            folder = (arguments.folder or Path(temporary)).absolute()
            service_speed.make_models(folder, arguments.shape, device)
            config = service_speed.write_run(folder, arguments.batch)
            utterances = service_speed.utterances(arguments.count)
        stack = f"Whisper {arguments.shape} and XCodec2" if arguments.shape else "tiny stack"
        print(f"{len(utterances)} utterances, {stack}, {machine(device)}", flush=True)
        rates: list[float] = []
        for workers in (1, 2):
            rates.append(len(utterances) / seconds_of(workers, config, utterances, device))
            name = f"worker{'s' * (workers > 1)}"
            print(f"  {workers} {name:8}{rates[-1]:7.1f} utterances/s", flush=True)
    print(f"  ratio     {rates[1] / rates[0]:7.2f}; load average {os.getloadavg()[0]:.1f}")


def seconds_of(workers: int, config: Path, utterances: list[Utterance], device: str) -> float:
    """Seconds in which a service of that many workers scores all."""
    run = load_run(config, [f"reward.workers={workers}", "reward.cache_size=0"])
    with TemporaryDirectory() as folder:
        path = Path(folder) / "run.json"
        path.write_text(dump_run(run))
        command = [sys.executable, "-m", "ttsrl", "serve", "--config", str(path)]
        one_thread = {} if device == "cuda" else {"OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(
            [*command, "--port", str(PORT)], env={**os.environ, **one_thread}
        )
        try:
            return asyncio.run(score(utterances))
        finally:
            process.terminate()
            process.wait()


async def score(utterances: list[Utterance]) -> float:
    """Seconds from the first request to the last score of the last pass."""
    seconds = 0.0
    async with RewardClient(f"http://127.0.0.1:{PORT}", deadline_s=DEADLINE_S) as client:
        await client.wait_ready(DEADLINE_S)
        asked = utterances
        for _ in range(PASSES):
            begin = time.perf_counter()
            outcomes = await client.score(asked)
            seconds = time.perf_counter() - begin
            if failed := [outcome for outcome in outcomes if isinstance(outcome, Failed)]:
                raise RuntimeError(f"{len(failed)} utterances failed: {failed[0]}")
            asked = [nearly_heard(*pair) for pair in zip(utterances, outcomes, strict=True)]
    return seconds


def nearly_heard(utterance: Utterance, outcome: Outcome) -> Utterance:
    """With what Whisper hears as its text, but for 3 % of the words."""
    heard = outcome.transcript if isinstance(outcome, Ok) else None
    seed = random.Random(heard or "").randrange(1 << 30)
    words = random_models.with_errors((heard or "").split(), 0.03, seed)
    return utterance.model_copy(update={"text": " ".join(words) or utterance.text})


if __name__ == "__main__":
    main()
