"""What is let in before BentoML's routes: health, token, size limits, and clients that still wait.

An ASGI middleware because BentoML reads a whole body before a route sees it, of whatever size and
from whomever."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import bentoml
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ttsrl.client.reward_client import read_token
from ttsrl.errors import BadInput
from ttsrl.serving.asking import asker_of, asking
from ttsrl.serving.batcher import Full
from ttsrl.serving.body import CLIENT_LEFT, MAX_BODY_BYTES, TOO_LARGE, Body, HeldBytes
from ttsrl.serving.compat import kserve
from ttsrl.wire import Outcome, ServiceSpec, Utterance

JSON_MEDIA = "application/json"
BINARY_MEDIA = "application/octet-stream"
WAV_MEDIA = frozenset({BINARY_MEDIA, "audio/wav", "audio/x-wav", "audio/wave", "audio/flac"})

Problem = Callable[[int, str, dict[str, str] | None], Response]


@dataclass(frozen=True)
class Scoring:
    """How a scoring route takes its body and reports errors."""

    problem: Problem
    media_types: frozenset[str]
    default_media_type: str


class Served(Protocol):
    """What the middleware asks of the service behind it."""

    token_file: str | None
    spec: ServiceSpec | None
    """None until the models are loaded."""

    def unready(self) -> str | None:
        """Why nothing can be scored now, or None."""
        ...

    def admit(self, count: int) -> None:
        """Raises Full when there is no room for `count` more utterances."""
        ...

    async def outcomes(self, utterances: Sequence[Utterance]) -> list[Outcome]:
        """One outcome per utterance. Raises Full when too many wait already."""
        ...

    def request(self, route: str) -> AbstractContextManager[Callable[[int], None]]:
        """Counts a scoring request as running; call what it gives with the HTTP status."""
        ...


class AdmissionMiddleware:
    """Answers or refuses a request before its body is read; counts what is read and measured."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.held = HeldBytes()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        service: Served = bentoml.get_current_service()
        path = scope["path"]
        if path == "/healthz":
            return await health(service)(scope, receive, send)
        if path == "/v1/spec":
            return await specification(service)(scope, receive, send)
        if path not in SCORING or scope["method"] != "POST":
            return await self.app(scope, receive, send)
        request = Request(scope)
        try:
            asking.set(asker_of(request))
        except BadInput as error:
            return await tell(scope, 400, str(error))(scope, receive, send)
        with service.request(path) as finished:

            async def counted(message: Message) -> None:
                if message["type"] == "http.response.start":
                    finished(message["status"])
                await send(message)

            if refusal := refuse(service, request):
                return await refusal(scope, receive, counted)
            body = Body(self.held, receive)
            try:
                data = await body.read()
                if isinstance(data, bytes):
                    await self._while_heard(scope, data, receive, counted)
                else:
                    status, detail = data
                    await tell(scope, status, detail)(scope, receive, counted)
            finally:
                body.release()

    async def _while_heard(self, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
        """Runs the route, and cancels it when its client goes, who would not read the scores."""
        first = True

        async def replay() -> Message:
            nonlocal first
            if not first:
                return await asyncio.shield(gone)
            first = False
            return {"type": "http.request", "body": body, "more_body": False}

        gone = asyncio.ensure_future(receive())  # the whole body is read: only a disconnect is left
        route = asyncio.ensure_future(self.app(scope, replay, send))
        try:
            await asyncio.wait({gone, route}, return_when=asyncio.FIRST_COMPLETED)
            if route.done():
                await route
            else:
                await problem(CLIENT_LEFT, "the client left")(scope, replay, send)
        finally:
            gone.cancel()
            route.cancel()


def health(service: Served) -> Response:
    """The body that clients of the published recipes' scoring servers look for."""
    reason = service.unready()
    return unavailable(reason) if reason else JSONResponse({"status": "ok"})


def specification(service: Served) -> Response:
    """What the service measures, so that a trainer can refuse one of another specification."""
    if service.spec is None:
        return unavailable(service.unready() or "")
    return JSONResponse(service.spec.model_dump())


def unavailable(reason: str) -> Response:
    """Nothing can be scored now, and may be soon."""
    return problem(503, reason, {"Retry-After": "1"})


def refuse(service: Served, request: Request) -> Response | None:
    """The answer to a request that may not or cannot be scored now; None lets it in."""
    scope = request.scope
    if service.token_file:
        try:
            token = read_token(service.token_file)
        except BadInput as error:
            return tell(scope, 503, str(error))
        given = request.headers.get("authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
            return tell(scope, 401, "wrong or missing bearer token")
    if reason := service.unready():
        return tell(scope, 503, reason)
    route = SCORING[scope["path"]]
    media_type = request.headers.get("content-type", route.default_media_type)
    if media_type.partition(";")[0].strip().lower() not in route.media_types:
        return tell(scope, 415, f"content-type is {media_type!r}; send {route.default_media_type}")
    if (encoding := request.headers.get("content-encoding", "identity")) != "identity":
        return tell(scope, 415, f"content-encoding is {encoding!r}; send the body as it is")
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length[:20]) > MAX_BODY_BYTES:
        return tell(scope, 413, TOO_LARGE)
    try:
        service.admit(1)
    except Full as error:
        return route.problem(429, str(error), error.headers)
    return None


def tell(scope: Scope, status: int, detail: str) -> Response:
    """An error in the form that clients of the scope's route know."""
    match status:
        case 401:
            headers = {"WWW-Authenticate": "Bearer"}
        case 429 | 503:
            headers = {"Retry-After": "1"}
        case 408 | 413:  # the rest of the body is not read
            headers = {"Connection": "close"}
        case _:
            headers = None
    return SCORING[scope["path"]].problem(status, detail, headers)


def problem(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    """An error answer of the routes of our own and of channel-io's."""
    return JSONResponse({"detail": detail}, status, headers)


SCORING = {
    "/v1/score": Scoring(problem, frozenset({JSON_MEDIA}), JSON_MEDIA),
    "/v1/audit": Scoring(problem, frozenset({JSON_MEDIA}), JSON_MEDIA),
    "/score": Scoring(problem, frozenset({JSON_MEDIA}), JSON_MEDIA),
    "/score_wav": Scoring(problem, WAV_MEDIA, "audio/wav"),
} | dict.fromkeys(
    kserve.INFER_ROUTES,
    Scoring(kserve.problem, frozenset({JSON_MEDIA, BINARY_MEDIA}), JSON_MEDIA),
)
"""Routes that cost a measurement: these ask for the token, and are counted and limited."""
