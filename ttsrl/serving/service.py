"""The reward service, as BentoML serves it: utterances in, one typed outcome each out.

TTSRL_RUN_CONFIG=run.json bentoml serve ttsrl.serving.service:RewardService
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager

import bentoml
from starlette.applications import Starlette
from starlette.responses import Response

from ttsrl.config.load import load_run
from ttsrl.serving.asking import asking
from ttsrl.serving.audit_desk import AuditDesk
from ttsrl.serving.batcher import Batcher, Full
from ttsrl.serving.compat import audio_scorer, channel_io, kserve
from ttsrl.serving.compat.audio_scorer import OneUtterance, WaveformRequest
from ttsrl.serving.compat.channel_io import NllResponse
from ttsrl.serving.lifecycle import lifecycle
from ttsrl.serving.messages import CannotStart, Loaded, Measured, WorkerLost
from ttsrl.serving.middleware import AdmissionMiddleware, problem
from ttsrl.serving.workers import WorkerPool
from ttsrl.wire import (
    AuditAnswer,
    AuditRequest,
    Outcome,
    ScoreRequest,
    ScoreResponse,
    ServiceSpec,
    Utterance,
)

logger = logging.getLogger(__name__)
WHEN_FULL_S = 1.0
"""Seconds until an audit looks again whether there is room in the queue."""


@bentoml.service(
    # One process of BentoML's: queue, limits and metrics are its own. Those that measure are ours
    # (workers.py); README.md beside this file says why.
    workers=1,
    # The queue has the deadline. BentoML must have one too, and keeps its timer of each request,
    # answered or not, until it is over.
    traffic={"timeout": 600},
    logging={"access": {"enabled": False}},
    envs=[{"name": "TTSRL_RUN_CONFIG"}],
)
@bentoml.asgi_app(Starlette(routes=[*channel_io.routes(), *kserve.routes()]))
class RewardService:
    """Rewards of speech tokens: CER and NLL by one Whisper, composed, one typed outcome each."""

    def __init__(self) -> None:
        # prometheus_client looks for BentoML's folder when it is imported.
        from ttsrl.serving.metrics import ServiceMetrics

        config = os.environ["TTSRL_RUN_CONFIG"]
        self.run = load_run(config)
        reward = self.run.reward
        self.token_file = reward.token_file
        self.spec: ServiceSpec | None = None
        self.metrics = ServiceMetrics()
        self.metrics.queue_capacity.set(reward.queue_size)
        self.batcher = Batcher(reward.batch_size, reward.queue_size, self.metrics.queue)
        self.audits = AuditDesk(self.when_free)
        self.pool = WorkerPool(
            config,
            reward.workers,
            self.batcher,
            reward.worker_deadline_s,
            on_loaded=self.worker_loaded,
            on_measured=self.measured,
            on_lost=self.worker_lost,
        )
        self.show_state()

    @bentoml.on_startup
    async def start(self) -> None:
        """Answers health checks at once; the workers load meanwhile."""
        self.start_s = time.monotonic()
        lifecycle.drain_on_sigterm(on_drain=self.show_state)
        self.measuring = asyncio.create_task(self.measure())

    @bentoml.on_shutdown
    def close(self) -> None:
        """Ends the workers, which have nothing left to do."""
        self.pool.close()

    async def __is_ready__(self) -> bool:
        """BentoML's /readyz."""
        return self.unready() is None

    @bentoml.api(route="/v1/score", output_spec=ScoreResponse)  # pyright: ignore[reportArgumentType]
    async def score(self, request: ScoreRequest, /) -> ScoreResponse | Response:
        """One typed outcome per utterance, in the order of the request."""
        assert self.spec is not None  # the middleware lets nothing in before
        try:
            outcomes = await self.outcomes(request.utterances)
        except Full as error:
            return problem(429, str(error), error.headers)
        return ScoreResponse(outcomes=outcomes, spec_hash=self.spec.spec_hash)

    @bentoml.api(route="/v1/audit", output_spec=AuditAnswer)  # pyright: ignore[reportArgumentType]
    async def audit(self, request: AuditRequest, /) -> AuditAnswer | Response:
        """Which spoiled twins of the clips this reward pays: the result, or how far it is."""
        assert self.spec is not None  # the middleware lets nothing in before
        try:
            return AuditAnswer(audit=await self.audits.answer(request, self.spec.spec_hash))
        except Full as error:
            return problem(429, str(error), error.headers)

    @bentoml.api(route="/score", output_spec=NllResponse)  # pyright: ignore[reportArgumentType]
    async def score_one(self, request: OneUtterance, /) -> Response:
        """The route of channel-io's clients (NLL and transcript, every failure a 500) and of
        verl-omni's (a score)."""
        asked = request.root
        if isinstance(asked, WaveformRequest):
            return await audio_scorer.measured(asked)
        language = self.run.data.language
        return await channel_io.measured(
            Utterance(text=asked.text, speech_tokens=asked.tokens, language=language)
        )

    async def outcomes(self, utterances: Sequence[Utterance]) -> list[Outcome]:
        """One outcome per utterance, counted as in flight while its client waits.

        Raises Full when too many utterances of the same run wait already.
        """
        self.metrics.in_flight.inc(len(utterances))
        try:
            return await self.batcher.score(
                utterances, self.run.reward.sample_deadline_s, asking.get()
            )
        finally:
            self.metrics.in_flight.dec(len(utterances))

    async def when_free(self, utterances: Sequence[Utterance]) -> list[Outcome]:
        """As `outcomes`, for an audit, which waits where there is no room for it."""
        while True:
            try:
                return await self.outcomes(utterances)
            except Full:
                await asyncio.sleep(WHEN_FULL_S)

    def admit(self, count: int) -> None:
        """Raises Full when the queue of the run that asks has no room for `count` more."""
        self.batcher.admit(count, asking.get())

    def unready(self) -> str | None:
        """Why nothing can be scored now, or None."""
        if lifecycle.state == "ready" and not self.pool.loaded:
            return "the reward service replaces a worker that was lost"
        return None if lifecycle.state == "ready" else f"the reward service is {lifecycle.state}"

    @contextmanager
    def request(self, route: str) -> Generator[Callable[[int], None]]:
        """Counts a scoring request as running; call what it gives with the HTTP status."""
        start_s = time.monotonic()
        with lifecycle.request():
            yield lambda status: self.metrics.request(route, status, time.monotonic() - start_s)

    async def measure(self) -> None:
        """Has the workers measure; a service whose workers cannot load ends."""
        try:
            await self.pool.run()
        except CannotStart as error:
            print(f"error: {error}", file=sys.stderr)
            lifecycle.drain(error.exit_code)
        except Exception:
            logger.exception("the reward service fails")
            lifecycle.drain(1)

    def worker_loaded(self, loaded: Loaded) -> None:
        """A worker can measure; the service is ready once all of them have been."""
        self.spec = loaded.spec
        if lifecycle.state == "loading" and len(self.pool.loaded) == self.run.reward.workers:
            lifecycle.state = "ready"
            seconds = time.monotonic() - self.start_s
            whisper = self.run.reward.whisper
            model = whisper.model if whisper else "none"
            self.metrics.loaded(loaded.spec, model, loaded.device, seconds)
            for key, name in loaded.spec.models.items():
                logger.info("%s: %s", key, name)
            logger.info("ready: specification %s", loaded.spec.spec_hash)
        self.show_state()

    def worker_lost(self, error: WorkerLost) -> None:
        """A worker is gone and another one loads."""
        self.metrics.workers_lost.labels(error.reason).inc()
        self.show_state()

    def measured(self, measured: Measured) -> None:
        """A batch is done."""
        for name, seconds in measured.stages:
            self.metrics.stage(name, seconds)
        self.metrics.used(measured.usage)
        self.metrics.batch(measured.outcomes)

    def show_state(self) -> None:
        """Reports to Prometheus what can be measured now."""
        workers = len(self.pool.loaded)
        self.metrics.workers.set(workers)
        self.metrics.batch_capacity.set(workers * self.run.reward.batch_size)
        self.metrics.ready.set(self.unready() is None)


RewardService.add_asgi_middleware(AdmissionMiddleware)  # pyright: ignore[reportArgumentType]
