"""The HTTP edge before BentoML's routes: health, token, size limit, and who is still listening."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

import bentoml
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ttsrl.client import read_token
from ttsrl.errors import BadInput
from ttsrl.types import ServiceSpec

SCORING_ROUTES = frozenset({"/v1/score", "/score"})
CLIENT_LEFT = 499
MAX_BODY_BYTES = 64 * 2**20


class Served(Protocol):
    """What the edge asks of the service behind it."""

    token_file: str | None
    spec: ServiceSpec | None
    """None until the models are loaded."""

    def unready(self) -> str | None:
        """Why nothing can be scored now, or None."""
        ...

    def request(self, route: str) -> AbstractContextManager[Callable[[int], None]]:
        """Counts a scoring request as running; call what it gives with the HTTP status."""
        ...


class Edge:
    """ASGI middleware of the reward service."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        service: Served = bentoml.get_current_service()
        path = scope["path"]
        if path == "/healthz":
            return await health(service)(scope, receive, send)
        if path == "/v1/spec":
            return await specification(service)(scope, receive, send)
        if path not in SCORING_ROUTES or scope["method"] != "POST":
            return await self.app(scope, receive, send)
        with service.request(path) as finished:

            async def counted(message: Message) -> None:
                if message["type"] == "http.response.start":
                    finished(message["status"])
                await send(message)

            refusal = refuse(service, Request(scope))
            body = None if refusal else await read_body(receive)
            if refusal is None and body is None:
                refusal = problem(413, f"the body is larger than {MAX_BODY_BYTES} bytes; split it")
            if refusal:
                return await refusal(scope, receive, counted)
            await self._while_heard(scope, body or b"", receive, counted)

    async def _while_heard(self, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
        """Runs the route, and cancels it when its client goes: nobody would read the scores."""
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
                # BentoML's time limit waits for some answer, even one that goes nowhere.
                await problem(CLIENT_LEFT, "the client left")(scope, replay, send)
        finally:
            gone.cancel()
            route.cancel()


def health(service: Served) -> Response:
    """The body that clients of the seed projects' scoring servers look for."""
    reason = service.unready()
    return problem(503, reason) if reason else JSONResponse({"status": "ok"})


def specification(service: Served) -> Response:
    """What the service measures, so that a trainer can refuse one of another specification."""
    if service.spec is None:
        return problem(503, service.unready() or "")
    return JSONResponse(service.spec.model_dump())


def refuse(service: Served, request: Request) -> Response | None:
    """The answer to a request that may not or cannot be scored now; None lets it in."""
    if service.token_file:
        try:
            token = read_token(service.token_file)
        except BadInput as error:
            return problem(503, str(error))
        given = request.headers.get("authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
            return problem(401, "wrong or missing bearer token", {"WWW-Authenticate": "Bearer"})
    if reason := service.unready():
        return problem(503, reason)
    media_type = request.headers.get("content-type", "application/json").partition(";")[0].strip()
    if media_type.lower() != "application/json":
        return problem(415, f"content-type is {media_type!r}; send application/json")
    return None


async def read_body(receive: Receive) -> bytes | None:
    """The request's body, or None when it is too large."""
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b""
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > MAX_BODY_BYTES:
            return None
        if not message.get("more_body", False):
            return b"".join(chunks)


def problem(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    """An error answer; one that a later attempt may not get says so."""
    if status == 503:
        headers = {"Retry-After": "1"}
    return JSONResponse({"detail": detail}, status, headers)
