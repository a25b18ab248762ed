"""What a client may do to the reward service's HTTP connections."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvicorn

from ttsrl.serving import connection
from ttsrl.serving.connection import Connection

WHOLE = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
HALF = b"GET / HTTP/1.1\r\nHost: a\r\nX-"
SLOW_BODY = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n"

Client = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answers without reading the body."""
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def talk(client: Client) -> None:
    """Runs a client against a real server of these connections."""

    async def run() -> None:
        config = uvicorn.Config(app, http=Connection, lifespan="off", log_config=None)
        server = uvicorn.Server(config)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            serving = asyncio.create_task(server.serve([listener]))
            async with asyncio.timeout(300):
                reader, writer = await asyncio.open_connection(*listener.getsockname())
                await client(reader, writer)
                writer.close()
            server.should_exit = True
            await serving

    asyncio.run(run())


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "REQUEST_DEADLINE_S", 0.2)


@pytest.mark.parametrize("sent", [b"", HALF], ids=["nothing", "half a request"])
def test_a_client_that_never_ends_its_request_is_told_so_and_left(sent: bytes) -> None:
    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(sent)
        assert (await reader.read()).startswith(b"HTTP/1.1 408 ")

    talk(client)


def test_trickling_headers_do_not_win_time() -> None:
    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HALF)
        answer = asyncio.create_task(reader.read())
        while not answer.done():
            writer.write(b"a")
            await asyncio.wait({answer}, timeout=0.05)
        assert answer.result().startswith(b"HTTP/1.1 408 ")

    talk(client)


def test_a_second_request_on_a_connection_has_the_same_time() -> None:
    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            writer.write(WHOLE)
            assert b"204" in await reader.readuntil(b"\r\n\r\n")
        writer.write(HALF)
        assert (await reader.read()).startswith(b"HTTP/1.1 408 ")

    talk(client)


def test_a_body_that_nobody_reads_cannot_trickle_for_ever() -> None:
    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(SLOW_BODY)
        rest = asyncio.create_task(reader.read())
        while not rest.done():
            writer.write(b"a")
            await asyncio.wait({rest}, timeout=0.05)
        assert rest.result().startswith(b"HTTP/1.1 204 ")

    talk(client)
