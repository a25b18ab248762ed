"""The only code that speaks HTTP to the reward service: gathers, retries, never invents a score.

async with RewardClient.of(run.reward) as client:
    await client.wait_ready(timeout_s=120)
    outcomes = await client.score(utterances)
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import httpx
from pydantic import ValidationError

from ttsrl.config.diff import describe
from ttsrl.errors import BadInput
from ttsrl.reward.config import RewardConfig
from ttsrl.reward.specification import configured
from ttsrl.wire import (
    RUN_HEADER,
    Failed,
    Outcome,
    ScoreRequest,
    ScoreResponse,
    ServiceSpec,
    Utterance,
)

FIRST_DELAY_S = 0.2
LONGEST_DELAY_S = 5.0
CONNECT_TIMEOUT_S = 5.0

RETRIED_KINDS = frozenset({"decode", "scorer", "deadline"})
"""Failures that may pass by themselves (memory, a hung device); a NaN would only come again."""
MEASUREMENTS = 5
"""Times that one utterance is measured before its typed failure is believed."""

BUSY = frozenset({408, 425, 429})

DEAD_PEER_OPTIONS = [
    # Without these a request to a machine that vanished waits for its whole deadline.
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
]


class Unavailable(Exception):
    """No usable answer this time; another attempt may get one."""

    def __init__(self, detail: str, retry_after_s: float = 0.0) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class NothingListens(Unavailable):
    """There is no connection to the address."""


@dataclass(eq=False)
class _PendingUtterance:
    """One utterance on its way to an outcome, shared by every caller that asked for it."""

    key: str
    utterance: Utterance
    outcome: asyncio.Future[Outcome]
    deadline: float
    """On the event loop's clock."""
    callers: int = 0
    attempts: int = 0
    failed_measurements: int = 0
    failure: Failed | None = None
    """Why there is no outcome yet."""


class RewardClient:
    """Scores utterances over HTTP; one client an event loop.

    What arrives within `gather_s`, or while `max_requests` requests are under way, travels in one
    request of at most `batch_size` utterances; equal utterances in flight are measured once.
    """

    def __init__(
        self,
        url: str,
        *,
        token_file: str | None = None,
        deadline_s: float = 120.0,
        batch_size: int = 32,
        gather_s: float = 0.02,
        max_requests: int = 8,
        spec_hash: str | None = None,
        wanted: Mapping[str, Any] = MappingProxyType({}),
        run: str | None = None,
    ) -> None:
        """`spec_hash`: specification that every score must come from; None: the first that is
        seen. `wanted`: what it must hold (`ttsrl.reward.specification.configured`). `run`: whose
        queue of the service to wait in; None: that of this address."""
        self.url = url.rstrip("/")
        self.token_file = token_file
        self.deadline_s = deadline_s
        self.batch_size = batch_size
        self.gather_s = gather_s
        self.spec_hash = spec_hash
        self._wanted = wanted
        self._run = run
        self._authorised = False
        self._in_flight: dict[str, _PendingUtterance] = {}
        self._waiting: list[_PendingUtterance] = []
        self._slots = asyncio.Semaphore(max_requests)
        self._tasks: set[asyncio.Task[None]] = set()
        self._dispatcher: asyncio.Task[None] | None = None
        self._http = httpx.AsyncClient(
            base_url=_checked(self.url),
            transport=httpx.AsyncHTTPTransport(
                socket_options=DEAD_PEER_OPTIONS,
                # Below the server's 5 s, so that no request is sent into a connection it closes.
                limits=httpx.Limits(max_connections=max_requests + 1, keepalive_expiry=4.0),
            ),
        )

    @classmethod
    def of(cls, reward: RewardConfig, spec_hash: str | None = None, run: str | None = None) -> Self:
        """The client that a run's configuration asks for, of one specification if it is known;
        `run` is the run's name."""
        return cls(
            reward.url,
            token_file=reward.token_file,
            deadline_s=reward.sample_deadline_s,
            batch_size=reward.batch_size,
            spec_hash=spec_hash,
            wanted=configured(reward),
            run=run,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Drop what is under way, as `Failed`, and close the connections."""
        dropped = Failed(kind="unreachable", detail="the client was closed")
        for item in list(self._in_flight.values()):
            # One that is done leaves `_in_flight` only when the event loop comes round again.
            if not item.outcome.done():
                item.outcome.set_result(dropped)
        tasks = [*self._tasks, *([self._dispatcher] if self._dispatcher else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._http.aclose()

    async def score(
        self, utterances: Sequence[Utterance], deadline_s: float | None = None
    ) -> list[Outcome]:
        """One outcome per utterance, in order; what has none after `deadline_s` is `Failed`.

        An outage never raises and never gives a reward. Raises BadInput where waiting cannot help:
        a refused body, a wrong token, a service of another specification.
        """
        limit_s = self.deadline_s if deadline_s is None else deadline_s
        deadline = asyncio.get_running_loop().time() + limit_s
        items = [self._join(utterance, deadline) for utterance in utterances]
        try:
            if items:
                await asyncio.wait(
                    {item.outcome for item in items},
                    timeout=limit_s,
                    return_when=asyncio.FIRST_EXCEPTION,
                )
            late = Failed(kind="deadline", detail=f"no score within {limit_s:g} s by {self.url}")
            return [i.outcome.result() if i.outcome.done() else i.failure or late for i in items]
        finally:
            for item in items:
                self._leave(item)

    async def wait_ready(self, timeout_s: float, absent_s: float | None = None) -> ServiceSpec:
        """Wait until the service scores; say what it measures.

        Raises BadInput when it cannot be reached or is not ready within `timeout_s`, or when
        nothing has listened at its address for `absent_s` (None: for `timeout_s`); when it is of
        another ttsrl version, refuses the token, or measures something else than this client
        wants.
        """
        loop = asyncio.get_running_loop()
        start = loop.time()
        deadline = start + timeout_s
        absent_until = deadline if absent_s is None else start + absent_s
        while True:
            try:
                return await self._handshake()
            except Unavailable as error:
                if not isinstance(error, NothingListens):
                    absent_until = deadline  # something does, and may be ready later
                elif loop.time() + FIRST_DELAY_S >= absent_until:
                    raise BadInput(
                        f"nothing listens at {self.url}: {error}; start a reward service with "
                        "`ttsrl serve --config run.json`, or set reward.url to its address"
                    ) from None
                if loop.time() + FIRST_DELAY_S >= deadline:
                    raise BadInput(
                        f"no reward service is ready at {self.url} after {timeout_s:g} s: {error}; "
                        "start one with `ttsrl serve --config run.json`, or set "
                        "reward.url to its address"
                    ) from None
                await asyncio.sleep(FIRST_DELAY_S)

    async def _handshake(self) -> ServiceSpec:
        await self.request("GET", "/readyz", CONNECT_TIMEOUT_S)
        answer = await self.request("GET", "/v1/spec", CONNECT_TIMEOUT_S)
        try:
            spec = ServiceSpec.model_validate_json(answer.content)
        except ValidationError as error:
            raise Unavailable(f"GET /v1/spec gave no specification: {error}") from None
        ours, theirs = version("ttsrl"), spec.versions.get("ttsrl")
        if theirs != ours:
            raise BadInput(
                f"the reward service at {self.url} is of ttsrl {theirs}, this is ttsrl {ours}; "
                "deploy both from one release"
            )
        theirs = {key: spec.specification.get(key) for key in self._wanted}
        if differs := describe(theirs, self._wanted):
            raise BadInput(
                f"the reward service at {self.url} measures another reward than this run's: "
                f"{differs}; start it with this run's configuration"
            )
        self.spec_hash = self.spec_hash or spec.spec_hash
        self.check_spec(spec.spec_hash)
        # An empty request shows a wrong token now rather than after the first rollouts.
        await self._post(ScoreRequest(utterances=[]), CONNECT_TIMEOUT_S)
        return spec

    def _join(self, utterance: Utterance, deadline: float) -> _PendingUtterance:
        key = utterance.model_dump_json(exclude={"id"})
        item = self._in_flight.get(key)
        if item is None:
            future = asyncio.get_running_loop().create_future()
            joined = item = self._in_flight[key] = _PendingUtterance(
                key, utterance, future, deadline
            )
            future.add_done_callback(lambda _: self._forget(joined))
            self._enqueue(item)
        item.callers += 1
        item.deadline = max(item.deadline, deadline)
        return item

    def _forget(self, item: _PendingUtterance) -> None:
        if self._in_flight.get(item.key) is item:
            del self._in_flight[item.key]

    def _leave(self, item: _PendingUtterance) -> None:
        item.callers -= 1
        if item.callers == 0 and not item.outcome.done():
            self._forget(item)
            item.outcome.cancel()

    def _enqueue(self, item: _PendingUtterance) -> None:
        self._waiting.append(item)
        if self._dispatcher is None or self._dispatcher.done():
            self._dispatcher = asyncio.create_task(self._dispatch())

    async def _dispatch(self) -> None:
        while self._waiting:
            if len(self._waiting) < self.batch_size:
                await asyncio.sleep(self.gather_s)
            await self._slots.acquire()
            wanted = [item for item in self._waiting if not item.outcome.done()]
            batch, self._waiting = wanted[: self.batch_size], wanted[self.batch_size :]
            task = asyncio.create_task(self._send(batch))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _send(self, batch: list[_PendingUtterance]) -> None:
        try:
            for item, outcome in zip(batch, await self._measure(batch), strict=True):
                self._receive(item, outcome)
        except Unavailable as error:
            for item in batch:
                self._retry(item, Failed(kind="unreachable", detail=str(error)), error)
        except Exception as error:
            for item in batch:
                if not item.outcome.done():
                    item.outcome.set_exception(error)
                    item.outcome.exception()  # a caller may have left before it looked
        finally:
            self._slots.release()

    async def _measure(self, batch: list[_PendingUtterance]) -> list[Outcome]:
        if not batch:
            return []
        timeout_s = max(item.deadline for item in batch) - asyncio.get_running_loop().time()
        request = ScoreRequest(utterances=[item.utterance for item in batch])
        response = await self._post(request, max(timeout_s, FIRST_DELAY_S))
        if len(response.outcomes) != len(batch):
            raise Unavailable(
                f"{self.url} gave {len(response.outcomes)} outcomes for {len(batch)} utterances"
            )
        return response.outcomes

    def _receive(self, item: _PendingUtterance, outcome: Outcome) -> None:
        if isinstance(outcome, Failed) and outcome.kind in RETRIED_KINDS:
            item.failed_measurements += 1
            if item.failed_measurements < MEASUREMENTS:
                return self._retry(item, outcome)
        if not item.outcome.done():
            item.outcome.set_result(outcome)

    def _retry(
        self, item: _PendingUtterance, failure: Failed, cause: Unavailable | None = None
    ) -> None:
        if item.outcome.done():
            return
        item.failure = failure
        delay_s = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0**item.attempts)
        # Jitter keeps the workers of a node from coming back all at once, when they were asked to
        # wait most of all: what was asked for is the least then, and no appointment.
        asked_s = cause.retry_after_s if cause else 0.0
        delay_s = max(delay_s * random.uniform(0.5, 1.0), asked_s * random.uniform(1.0, 1.5))
        item.attempts += 1
        loop = asyncio.get_running_loop()
        if loop.time() + delay_s < item.deadline:
            loop.call_later(delay_s, self._enqueue, item)
        else:
            item.outcome.set_result(failure)

    async def _post(self, request: ScoreRequest, timeout_s: float) -> ScoreResponse:
        answer = await self.request(
            "POST", "/v1/score", timeout_s, content=request.model_dump_json()
        )
        self._authorised = True
        try:
            response = ScoreResponse.model_validate_json(answer.content)
        except ValidationError as error:
            raise Unavailable(f"POST /v1/score gave no outcomes: {error}") from None
        self.spec_hash = self.spec_hash or response.spec_hash
        self.check_spec(response.spec_hash)
        return response

    async def request(
        self, method: str, path: str, timeout_s: float, content: str | None = None
    ) -> httpx.Response:
        """An answer with status 200.

        Raises Unavailable where another attempt may get one, BadInput where waiting cannot help.
        """
        headers = {"content-type": "application/json"} if content else {}
        if self._run is not None:
            headers[RUN_HEADER] = self._run
        if self.token_file:
            headers["authorization"] = f"Bearer {read_token(self.token_file)}"
        try:
            answer = await self._http.request(
                method,
                path,
                content=content,
                headers=headers,
                timeout=httpx.Timeout(timeout_s, connect=min(timeout_s, CONNECT_TIMEOUT_S)),
            )
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            reason = str(error) or "no answer"
            raise NothingListens(f"{method} {self.url}{path}: {reason}") from None
        except httpx.RequestError as error:
            reason = str(error) or type(error).__name__
            raise Unavailable(f"{method} {self.url}{path}: {reason}") from None
        status = answer.status_code
        if status == 200:
            return answer
        said = " ".join(answer.text.split())[:200]  # in one line: it may be some server's HTML
        detail = f"{method} {self.url}{path} answered {status}: {said}"
        # Once accepted, a refused token is one in rotation: both sides read the new one soon.
        if status in BUSY or status >= 500 or (status == 401 and self._authorised):
            raise Unavailable(detail, _retry_after_s(answer))
        if status in (401, 403):
            raise BadInput(
                f"{detail}; reward.token_file = {self.token_file!r} must hold the token that the "
                "service was started with"
            )
        raise BadInput(f"{detail}; is reward.url the address of a reward service of this release?")

    def check_spec(self, spec_hash: str) -> None:
        """Raises BadInput for another specification than this client has seen or wants."""
        if spec_hash != self.spec_hash:
            raise BadInput(
                f"the reward service at {self.url} measures specification {spec_hash}, this run "
                f"needs {self.spec_hash}; start all its replicas with this run's configuration "
                "and, of models given by ids, with the commits in reward.json of the run's storage"
            )


def score_blocking(
    reward: RewardConfig, utterances: Sequence[Utterance], deadline_s: float | None = None
) -> list[Outcome]:
    """`RewardClient.score` for callers without an event loop."""

    async def score() -> list[Outcome]:
        async with RewardClient.of(reward) as client:
            return await client.score(utterances, deadline_s)

    return asyncio.run(score())


def read_token(path: str) -> str:
    """The bearer token in a file; read for every request, because secrets are rotated in place."""
    try:
        token = Path(path).read_text().strip()
    except OSError as error:
        raise BadInput(f"cannot read reward.token_file {path!r}: {error.strerror}") from None
    if not token:
        raise BadInput(f"reward.token_file {path!r} is empty; put the token in it")
    return token


def _checked(url: str) -> httpx.URL:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise BadInput(f"reward.url = {url!r} is not an address: {error}") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise BadInput(f"reward.url = {url!r} is not an address; write it like http://host:8000")
    return parsed


def _retry_after_s(answer: httpx.Response) -> float:
    value = answer.headers.get("retry-after", "")
    return float(value) if value.isdigit() else 0.0
