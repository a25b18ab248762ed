"""The reward service: BentoML around the pipeline that measures utterances.

TTSRL_RUN_CONFIG=run.json bentoml serve services.reward.service:RewardService
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

import bentoml
from pydantic import BaseModel, Field, ValidationError
from starlette.responses import Response

from services.reward.batcher import Batcher
from services.reward.edge import Edge, problem
from ttsrl.errors import BadInput
from ttsrl.settings import load_run
from ttsrl.types import (
    Failed,
    Gated,
    Ok,
    Outcome,
    ScoreRequest,
    ScoreResponse,
    ServiceSpec,
    Utterance,
)

logger = logging.getLogger("bentoml.reward")
PROGRAMS = ("ttsrl", "bentoml", "torch", "transformers", "faster-whisper", "ctranslate2", "jiwer")


exit_code = 0
"""What `python -m services.reward` ends with."""


class LegacyRequest(BaseModel):
    """Body of `POST /score`, as channel-io/ch-tts-llasa-rl-grpo sends it."""

    tokens: list[int] = Field(max_length=65_536)
    text: str = Field(min_length=1, max_length=10_000)


class LegacyResponse(BaseModel):
    """Answer of `POST /score`."""

    nll: float
    transcript: str


@bentoml.service(
    workers=1,
    # The client owns the deadline: when it leaves, its work is dropped.
    traffic={"timeout": 3600},
    logging={"access": {"enabled": False}},
)
class RewardService:
    """Rewards of speech tokens: CER and NLL by one Whisper, composed, one typed outcome each."""

    def __init__(self) -> None:
        from services.reward.metrics import Metrics

        self.run = load_run(os.environ["TTSRL_RUN_CONFIG"])
        self.token_file = self.run.reward.token_file
        self.metrics = Metrics()
        self.batcher = Batcher(
            self.measure,
            self.run.reward.batch_size,
            self.metrics.queue_depth.set,
            self.metrics.queue_seconds.observe,
        )
        self.metrics.batch_capacity.set(self.run.reward.batch_size)
        self.metrics.ready.set(0)
        self.spec: ServiceSpec | None = None
        self.state: Literal["loading", "ready", "shutting down"] = "loading"
        self.running = 0
        logging.getLogger("bentoml.serve").setLevel(logging.WARNING)
        logging.getLogger("bentoml._internal.server.http_app").addFilter(is_not_bad_body)

    @bentoml.on_startup
    async def start(self) -> None:
        """Serves health at once and loads beside it; a service that cannot load ends."""
        self.loop = asyncio.get_running_loop()
        self.leave = signal.getsignal(signal.SIGTERM)
        self.loop.add_signal_handler(signal.SIGTERM, self.end, 0)
        self.loading = self.loop.create_task(self.load())

    async def load(self) -> None:
        """Loads and warms the pipeline in the thread that will score."""
        start_s = time.monotonic()
        try:
            spec = await self.loop.run_in_executor(self.batcher.thread, self.load_pipeline)
        except BadInput as error:
            print(f"error: {error}", file=sys.stderr)
            self.end(2)
        except Exception:
            logger.exception("the reward service cannot start")
            self.end(1)
        else:
            self.spec = spec
            if self.state == "loading":
                self.state = "ready"
                whisper = self.run.reward.whisper.model
                seconds = time.monotonic() - start_s
                self.metrics.loaded(spec, whisper, self.device, seconds)
            logger.info("ready: specification %s", self.pipeline.spec_hash)

    def load_pipeline(self) -> ServiceSpec:
        """Runs in the scoring thread."""
        import torch

        from services.reward.pipeline import Pipeline

        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.pipeline = Pipeline(self.run, self.device, on_stage=self.metrics.stage)
        self.pipeline.warm_up()
        self.pipeline.self_test()
        codec = self.pipeline.codec
        return ServiceSpec(
            spec_hash=self.pipeline.spec_hash,
            versions=versions(),
            codec=self.run.codec,
            codebook_size=codec.codebook_size,
            sample_rate_hz=codec.sample_rate_hz,
            tokens_per_s=codec.tokens_per_s,
        )

    def measure(self, utterances: list[Utterance]) -> list[Outcome]:
        """Runs in the scoring thread; a device that measures nothing any more ends the service."""
        outcomes = self.pipeline.score(utterances)
        if all(isinstance(o, Failed) and o.kind in ("decode", "scorer") for o in outcomes):
            try:
                self.pipeline.self_test()
            except Exception:
                logger.exception("nothing can be measured any more; the service ends")
                self.loop.call_soon_threadsafe(self.end, 1)
        self.metrics.batch(outcomes)
        return outcomes

    @bentoml.api(route="/v1/score")
    async def score(self, request: ScoreRequest, /) -> ScoreResponse:
        """One typed outcome an utterance, in the order of the request."""
        outcomes = await self.outcomes(request.utterances)
        return ScoreResponse(outcomes=outcomes, spec_hash=self.pipeline.spec_hash)

    @bentoml.api(route="/score", output_spec=LegacyResponse)  # pyright: ignore[reportArgumentType]
    async def score_one(self, request: LegacyRequest, /) -> LegacyResponse | Response:
        """The route of channel-io's clients: NLL and transcript, every failure a 500."""
        utterance = Utterance(text=request.text, speech_tokens=request.tokens)
        match (await self.outcomes([utterance]))[0]:
            case Ok(raw=raw, transcript=transcript):
                return LegacyResponse(nll=raw["nll"], transcript=transcript)
            case Gated(reason=reason, detail=detail):
                return problem(500, f"gated, {reason}: {detail}")
            case Failed(kind=kind, detail=detail):
                return problem(500, f"{kind}: {detail}")

    async def outcomes(self, utterances: list[Utterance]) -> list[Outcome]:
        """One outcome an utterance, counted as in flight until it is there or nobody waits."""
        self.metrics.in_flight.inc(len(utterances))
        try:
            return await self.batcher.score(utterances)
        finally:
            self.metrics.in_flight.dec(len(utterances))

    async def __is_ready__(self) -> bool:
        return self.unready() is None

    def unready(self) -> str | None:
        """Why nothing can be scored now, or None."""
        return None if self.state == "ready" else f"the reward service is {self.state}"

    @contextmanager
    def request(self, route: str) -> Iterator[Callable[[int], None]]:
        """Counts a scoring request as running; call what it gives with the HTTP status."""
        self.running += 1
        start_s = time.monotonic()
        try:
            yield lambda status: self.metrics.request(route, status, time.monotonic() - start_s)
        finally:
            self.running -= 1
            self.leave_when_idle()

    def end(self, code: int) -> None:
        """Take no more, finish what runs, then let the server stop."""
        global exit_code
        exit_code = max(exit_code, code)
        self.state = "shutting down"
        self.metrics.ready.set(0)
        self.leave_when_idle()

    def leave_when_idle(self) -> None:
        """Hands SIGTERM on to uvicorn once a draining service has nothing left to do."""
        if self.state == "shutting down" and not self.running and callable(self.leave):
            self.leave(signal.SIGTERM, None)


def versions() -> dict[str, str]:
    """Distribution name -> version of the programs that decide a score."""
    found: dict[str, str] = {}
    for name in PROGRAMS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue  # an engine that this image does without
    return found


def is_not_bad_body(record: logging.LogRecord) -> bool:
    """Keeps BentoML from logging a traceback for each body it refuses with a 400."""
    return not (record.exc_info and isinstance(record.exc_info[1], ValidationError))


RewardService.add_asgi_middleware(Edge)  # pyright: ignore[reportArgumentType]
