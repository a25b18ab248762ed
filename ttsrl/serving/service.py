"""The reward service: BentoML around the pipeline that measures utterances.

TTSRL_RUN_CONFIG=run.json bentoml serve ttsrl.serving.service:RewardService
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Literal

import bentoml
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.responses import Response

from ttsrl.config.load import load_run
from ttsrl.serving.batcher import Batcher, Full
from ttsrl.serving.compat import channel_io, kserve
from ttsrl.serving.compat.channel_io import NllResponse, TokensRequest
from ttsrl.serving.engine import CannotStart, WorkerLost
from ttsrl.serving.middleware import Edge, problem
from ttsrl.serving.pool import WorkerPool
from ttsrl.serving.worker import Loaded, Measured
from ttsrl.wire import Outcome, ScoreRequest, ScoreResponse, ServiceSpec, Utterance

logger = logging.getLogger("bentoml.reward")

exit_code = 0
"""What `python -m ttsrl.serving` ends with."""


@bentoml.service(
    workers=1,
    # The queue has the deadline. BentoML must have one too, and keeps its timer of each request,
    # answered or not, until it is over.
    traffic={"timeout": 600},
    logging={"access": {"enabled": False}},
)
class RewardService:
    """Rewards of speech tokens: CER and NLL by one Whisper, composed, one typed outcome each."""

    def __init__(self) -> None:
        from ttsrl.serving.metrics import ServiceMetrics

        self.run = load_run(os.environ["TTSRL_RUN_CONFIG"])
        self.token_file = self.run.reward.token_file
        self.metrics = ServiceMetrics()
        reward = self.run.reward
        self.batcher = Batcher(
            reward.batch_size,
            reward.queue_size,
            self.metrics.queue_depth.set,
            self.metrics.queue_seconds.observe,
        )
        self.pool = WorkerPool(
            os.environ["TTSRL_RUN_CONFIG"],
            reward.workers,
            self.batcher,
            reward.worker_deadline_s,
            on_loaded=self.worker_loaded,
            on_measured=self.measured,
            on_lost=self.worker_lost,
        )
        self.metrics.queue_capacity.set(reward.queue_size)
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
        self.start_s = time.monotonic()
        self.measuring = self.loop.create_task(self.measure())

    async def measure(self) -> None:
        """Has the workers measure; a service whose workers cannot load ends."""
        try:
            await self.pool.run()
        except CannotStart as error:
            print(f"error: {error}", file=sys.stderr)
            self.end(error.exit_code)
        except Exception:
            logger.exception("the reward service fails")
            self.end(1)

    @bentoml.on_shutdown
    def close(self) -> None:
        """Ends the workers, which have nothing left to do."""
        self.pool.close()

    def worker_loaded(self, loaded: Loaded) -> None:
        """A worker can measure; the service is ready once all of them have been."""
        self.spec = loaded.spec
        workers = len(self.pool.loaded)
        self.show_workers()
        if self.state == "loading" and workers == self.run.reward.workers:
            self.state = "ready"
            seconds = time.monotonic() - self.start_s
            self.metrics.loaded(loaded.spec, self.run.reward.whisper.model, loaded.device, seconds)
            logger.info("ready: specification %s", loaded.spec.spec_hash)

    def worker_lost(self, error: WorkerLost) -> None:
        """A worker is gone and another one loads."""
        self.metrics.workers_lost.labels(error.reason).inc()
        self.show_workers()

    def show_workers(self) -> None:
        """Tells Prometheus what can be measured now."""
        workers = len(self.pool.loaded)
        self.metrics.workers.set(workers)
        self.metrics.batch_capacity.set(workers * self.run.reward.batch_size)
        self.metrics.ready.set(self.unready() is None)

    def measured(self, measured: Measured) -> None:
        """A batch is done."""
        for name, seconds in measured.stages:
            self.metrics.stage(name, seconds)
        self.metrics.batch(measured.outcomes)

    @bentoml.api(route="/v1/score", output_spec=ScoreResponse)  # pyright: ignore[reportArgumentType]
    async def score(self, request: ScoreRequest, /) -> ScoreResponse | Response:
        """One typed outcome an utterance, in the order of the request."""
        assert self.spec is not None  # the edge lets nothing in before
        try:
            outcomes = await self.outcomes(request.utterances)
        except Full as error:
            return problem(429, str(error), error.headers)
        return ScoreResponse(outcomes=outcomes, spec_hash=self.spec.spec_hash)

    @bentoml.api(route="/score", output_spec=NllResponse)  # pyright: ignore[reportArgumentType]
    async def score_one(self, request: TokensRequest, /) -> Response:
        """The route of channel-io's clients: NLL and transcript, every failure a 500."""
        language = self.run.data.language
        return await channel_io.measured(
            Utterance(text=request.text, speech_tokens=request.tokens, language=language)
        )

    def admit(self, count: int) -> None:
        """Raises Full when there is no room for `count` more utterances."""
        self.batcher.admit(count)

    async def outcomes(self, utterances: Sequence[Utterance]) -> list[Outcome]:
        """One outcome an utterance, counted as in flight until it is there or nobody waits.

        Raises Full when too many wait already.
        """
        self.metrics.in_flight.inc(len(utterances))
        try:
            return await self.batcher.score(utterances, self.run.reward.sample_deadline_s)
        finally:
            self.metrics.in_flight.dec(len(utterances))

    async def __is_ready__(self) -> bool:
        return self.unready() is None

    def unready(self) -> str | None:
        """Why nothing can be scored now, or None."""
        if self.state == "ready" and not self.pool.loaded:
            return "the reward service replaces a worker that was lost"
        return None if self.state == "ready" else f"the reward service is {self.state}"

    @contextmanager
    def request(self, route: str) -> Generator[Callable[[int], None]]:
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


def is_not_bad_body(record: logging.LogRecord) -> bool:
    """Keeps BentoML from logging a traceback for each body it refuses with a 400."""
    return not (record.exc_info and isinstance(record.exc_info[1], ValidationError))


RewardService.add_asgi_middleware(Edge)  # pyright: ignore[reportArgumentType]
RewardService.mount_asgi_app(Starlette(routes=[*channel_io.routes(), *kserve.routes()]))
