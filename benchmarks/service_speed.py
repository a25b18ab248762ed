"""Speech tokens in, rewards out: in one process, through HTTP, and how long a request takes.

python benchmarks/service_speed.py    in an environment with the extras reward and xcodec2
On a GPU: python benchmarks/service_speed.py --shape large-v3 --count 512

Random weights; each text is what Whisper hears, with 3 % of its words changed.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import random_models
import torch
from reward_speed import server
from whisper_speed import machine, peak_gib

from ttsrl.config.load import load_run
from ttsrl.runtime.machine import torch_device
from ttsrl.serving.pipeline import Pipeline
from ttsrl.wire import Ok, Outcome, Utterance

CLIENTS = 16
PER_REQUEST = 16
"""A group of rollouts."""
LOAD = 0.7


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", choices=[*random_models.SHAPES], default="test")
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--folder", type=Path, help="where models are, or will be")
    arguments = parser.parse_args()
    device = torch_device()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        make_models(folder, arguments.shape, device)
        config = write_run(folder, arguments.batch)
        with server("-m", "ttsrl", "serve", "--config", str(config), "--port") as url:
            # loads meanwhile, and is idle while the other one works
            print(f"Whisper {arguments.shape} and XCodec2, random weights, {arguments.count}")
            print(f"utterances of 2 to 12 s, on {machine(device)}")
            measure(config, url, arguments.count, device)


def make_models(folder: Path, shape: str, device: str) -> None:
    """Where they are not there yet."""
    for name in ("whisper", "xcodec2"):
        if (folder / name / "config.json").exists():
            continue
        (folder / name).mkdir(parents=True, exist_ok=True)
        if name == "whisper":
            random_models.make_whisper(folder / name, shape, device)
        else:
            random_models.make_xcodec2(folder / name, small=shape == "test", device=device)


def write_run(folder: Path, batch: int) -> Path:
    """Nothing is remembered, so that every utterance is measured."""
    whisper = {"model": "whisper", "rows": batch}
    reward = {"whisper": whisper, "batch_size": batch, "cache_size": 0}
    judges = [{"name": "none", "type": "ctc", "model": "none"}]
    run: dict[str, Any] = {"name": "speed", "model": "none", "codec": "xcodec2", "reward": reward}
    run |= {"train": {"steps": 1}, "eval": {"judges": judges}, "data": {"texts": "none"}}
    path = folder / "service.json"
    path.write_text(json.dumps(run))
    return path


def utterances(count: int) -> list[Utterance]:
    """Codes at random, and a text that no gate minds."""
    random = np.random.default_rng(0)
    return [
        Utterance(text="two red birds sing again", speech_tokens=codes.tolist())
        for codes in (random.integers(0, 65_536, int(50 * s)) for s in lengths_s(count))
    ]


def lengths_s(count: int) -> list[float]:
    """The lengths of whisper_speed.py, as often as needed."""
    return (random_models.durations_s(128) * (count // 128 + 1))[:count]


def measure(config: Path, url: str, count: int, device: str) -> None:
    """In one process, then over HTTP."""
    pipeline = Pipeline(load_run(config), f"{device}:0" if device == "cuda" else device)
    pipeline.warm_up()
    asked = utterances(count)
    heard = pipeline.score(asked)
    texts = [
        " ".join(random_models.with_errors((o.transcript or "").split(), 0.03, n)) or "two"
        if isinstance(o, Ok)
        else u.text
        for n, (u, o) in enumerate(zip(asked, heard, strict=True))
    ]
    asked = [u.model_copy(update={"text": t}) for u, t in zip(asked, texts, strict=True)]
    asyncio.run(wait_ready(url))
    start = time.perf_counter()
    alone = pipeline.score(asked)
    rate = count / (time.perf_counter() - start)
    memory = peak_gib(device)
    cer = float(np.mean([o.raw["cer"] for o in alone if isinstance(o, Ok)]))
    print(f"  in one process, CER {cer:.0%}{rate:32.1f} utt/s {memory} GiB", flush=True)
    del pipeline
    gc.collect()
    torch.cuda.empty_cache()
    asyncio.run(all_at_once(url, asked))  # plans its kernels, as the other one did when it heard
    seconds, outcomes = asyncio.run(all_at_once(url, asked))
    served = count / seconds
    print(f"  HTTP, {CLIENTS} clients{served:36.1f} utt/s  {served / rate:.0%}", flush=True)
    compare(alone, outcomes)
    times = np.array(asyncio.run(at_rate(url, asked, LOAD * served)))
    middle, late = np.percentile(times, [50, 99])
    print(
        f"  one utterance per request, {LOAD:.0%} load: median {middle:.3f} s, p99 {late:.3f} s, "
        f"{late / middle:.1f} x",
        flush=True,
    )
    if device == "cuda":
        precisions(config, asked)


def precisions(config: Path, asked: list[Utterance]) -> None:
    """How far rewards move with the codec's arithmetic, in the same batches."""
    exact: list[Outcome] = []
    for precision in ("float32", "tfloat32", "bfloat16"):
        run = load_run(config, [f"reward.codec_precision={precision}"])
        outcomes = Pipeline(run, "cuda:0").score(asked)
        gc.collect()
        torch.cuda.empty_cache()
        if exact:
            print(f"  codec in {precision} instead of float32:")
            compare(exact, outcomes)
        exact = exact or outcomes


def compare(alone: list[Outcome], served: list[Outcome]) -> None:
    """How far rewards move with the company that an utterance is measured in, or the precision."""
    pairs = [
        (a, b)
        for a, b in zip(alone, served, strict=True)
        if isinstance(a, Ok) and isinstance(b, Ok)
    ]
    moves = [abs(a.reward - b.reward) for a, b in pairs]
    differ = sum(a.transcript != b.transcript for a, b in pairs)
    print(
        f"  {len(pairs)} of {len(alone)} measured by both; {differ} transcripts differ, rewards "
        f"by {np.mean(moves):.1e} on average and {max(moves):.1e} at most",
        flush=True,
    )


async def wait_ready(url: str) -> None:
    async with httpx.AsyncClient() as http:
        for _ in range(3000):
            try:
                if (await http.get(f"{url}/healthz")).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.2)
    raise SystemExit(f"the service at {url} is not ready")


async def ask(http: httpx.AsyncClient, url: str, asked: list[Utterance]) -> list[Any]:
    body = {"utterances": [u.model_dump() for u in asked]}
    answer = await http.post(f"{url}/v1/score", json=body, timeout=600)
    return answer.raise_for_status().json()["outcomes"]


async def all_at_once(url: str, asked: list[Utterance]) -> tuple[float, list[Outcome]]:
    """Clients that send a request as soon as their last one is answered."""
    requests = [list(range(n, min(n + PER_REQUEST, len(asked)))) for n in
                range(0, len(asked), PER_REQUEST)]  # fmt: skip
    outcomes: dict[int, Any] = {}
    waiting = iter(requests)

    async def client(http: httpx.AsyncClient) -> None:
        for request in waiting:
            answers = await ask(http, url, [asked[n] for n in request])
            outcomes.update(zip(request, answers, strict=True))

    async with AsyncExitStack() as stack:
        # made before: httpx reads its certificates for each, 20 ms and more
        clients = [await stack.enter_async_context(httpx.AsyncClient()) for _ in range(CLIENTS)]
        start = time.perf_counter()
        await asyncio.gather(*map(client, clients))
        seconds = time.perf_counter() - start
    of = [outcomes[n] for n in range(len(asked))]
    return seconds, [Ok(**o) if o["status"] == "ok" else o for o in of]


async def at_rate(url: str, asked: list[Utterance], rate: float) -> list[float]:
    """Seconds that each of the requests takes, which come at random times."""
    random = np.random.default_rng(1)
    times: list[float] = []
    async with httpx.AsyncClient(limits=httpx.Limits(max_connections=1000)) as http:

        async def one(utterance: Utterance) -> None:
            start = time.perf_counter()
            await ask(http, url, [utterance])
            times.append(time.perf_counter() - start)

        running: list[asyncio.Task[None]] = []
        at = time.perf_counter()
        for utterance in asked:
            at += random.exponential(1 / rate)
            await asyncio.sleep(max(0.0, at - time.perf_counter()))
            running.append(asyncio.create_task(one(utterance)))
        await asyncio.gather(*running)
    return times


if __name__ == "__main__":
    main()
