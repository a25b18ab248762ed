"""Rewards per second, in one run: the service, its pipeline without HTTP, the published server.

python benchmarks/reward_speed.py
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import httpx
import jiwer

from ttsrl.client.reward_client import RewardClient
from ttsrl.config.load import dump_run, load_run
from ttsrl.lines.json_lines import json_objects
from ttsrl.reward.components import Cer, Nll, compose
from ttsrl.serving.pipeline import Pipeline
from ttsrl.synthesis.synthesiser import Synthesiser
from ttsrl.wire import Ok, Utterance

CONFIG = "examples/tiny/run.json"
PROMPTS = 16
DEADLINE_S = 600.0
ROUNDS = 7
"""The service and the pipeline alone take turns, so that what else runs slows both."""


def main() -> None:
    """Score one step's rollouts in each way and print the ratios."""
    utterances = rollouts()
    with TemporaryDirectory() as folder:
        config = Path(folder) / "run.json"
        config.write_text(dump_run(load_run(CONFIG, ["reward.cache_size=0"])))
        service, pipeline = asyncio.run(by_service_and_pipeline(utterances, config))
    published = by_published_server(utterances)
    count = len(utterances)
    alone = median(p / s for s, p in zip(service, pipeline, strict=True))
    print(f"{count} rollouts of {PROMPTS} prompts, tiny stack")
    print(f"  pipeline in this process   {count / median(pipeline):7.1f} utterances/s")
    print(f"  reward service, over HTTP  {count / median(service):7.1f} utterances/s, {alone:.0%}")
    print(f"  as channel-io does         {count / published:7.1f} utterances/s")
    print(f"  service / channel-io       {published / median(service):7.1f}")


def rollouts() -> list[Utterance]:
    """What the tiny policy says at the run's temperature, in groups."""
    run = load_run(CONFIG)
    synthesiser = Synthesiser(run.model, run.codec, run.family)
    rows = islice(json_objects(Path(run.data.texts), '{"text": "..."}'), PROMPTS)
    texts = [row["text"] for _, row in rows]
    speeches = synthesiser.synthesise(
        texts,
        temperature=run.rollout.temperature,
        seed=0,
        max_tokens=run.rollout.max_speech_tokens,
        group_size=run.rollout.group_size,
    )
    return [
        Utterance(text=s.text, speech_tokens=s.speech_tokens, finished=s.finished)
        for s in speeches
        if s.finished and s.speech_tokens  # the published server cannot take the others
    ]


async def by_service_and_pipeline(
    utterances: list[Utterance], config: Path
) -> tuple[list[float], list[float]]:
    """Seconds per round: the service, sent to as the trainer sends, and its pipeline in here."""
    pipeline = Pipeline(load_run(config))
    pipeline.warm_up()
    by_service: list[float] = []
    by_pipeline: list[float] = []
    with server("-m", "ttsrl", "serve", "--config", str(config), "--port") as url:
        async with RewardClient(url, deadline_s=DEADLINE_S) as client:
            await client.wait_ready(DEADLINE_S)
            for number in range(ROUNDS + 1):  # the first one warms up
                start = time.perf_counter()
                outcomes = await client.score(utterances)
                middle = time.perf_counter()
                pipeline.score(utterances)
                if number:
                    by_service.append(middle - start)
                    by_pipeline.append(time.perf_counter() - middle)
                if not any(isinstance(outcome, Ok) for outcome in outcomes):
                    raise RuntimeError(f"nothing was scored: {outcomes[:3]}")
    return by_service, by_pipeline


def by_published_server(utterances: list[Utterance]) -> float:
    """Seconds in which the published way scores all: one request after the other."""
    with (
        server(str(Path(__file__).with_name("published_server.py")), CONFIG) as url,
        httpx.Client(timeout=60) as http,
    ):
        wait_for(url)
        start = time.perf_counter()
        for utterance in utterances:
            body = {"tokens": utterance.speech_tokens, "text": utterance.text}
            answer = http.post(f"{url}/score", json=body).raise_for_status().json()
            cer = jiwer.cer(utterance.text, answer["transcript"])
            utilities = {"cer": Cer().utility(cer), "nll": Nll().utility(answer["nll"])}
            compose(utilities, {"cer": 0.6, "nll": 0.4})
        return time.perf_counter() - start


@contextmanager
def server(*arguments: str, python: str = sys.executable) -> Generator[str]:
    """Run Python with these arguments and a port, on which it serves, as the last one."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen([python, *arguments, str(port)])
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def wait_for(url: str) -> None:
    """Until the server listens."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        try:
            httpx.get(url, timeout=1)
            return
        except httpx.TransportError:
            time.sleep(0.2)
    raise RuntimeError(f"no server at {url}")


def wait_loaded(url: str) -> None:
    """Until a reward service can measure, or has ended."""
    wait_for(url)
    try:
        while httpx.get(f"{url}/readyz", timeout=60).status_code != 200:
            time.sleep(0.5)
    except httpx.TransportError:
        raise SystemExit("the reward service has ended") from None


if __name__ == "__main__":
    main()
