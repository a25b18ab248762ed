"""The reward service's process drains: what runs is finished before the server is told to stop."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator

import pytest

from ttsrl.serving.lifecycle import Lifecycle


@pytest.fixture
def stopped() -> Iterator[list[int]]:
    """Signals that reach a server's own handler, which is there before the service starts."""
    received: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: received.append(number))
    yield received
    signal.signal(signal.SIGTERM, before)


def test_sigterm_reaches_the_server_after_the_last_request(stopped: list[int]) -> None:
    async def test() -> None:
        shown: list[str] = []
        lifecycle = Lifecycle()
        lifecycle.drain_on_sigterm(on_drain=lambda: shown.append(lifecycle.state))
        with lifecycle.request():
            with lifecycle.request():
                os.kill(os.getpid(), signal.SIGTERM)
                while not shown:
                    await asyncio.sleep(0)
                assert shown == ["shutting down"]
            assert stopped == []
        assert stopped == [signal.SIGTERM]
        assert lifecycle.exit_code == 0

    asyncio.run(test())


def test_an_idle_service_that_fails_stops_at_once_with_the_gravest_exit_code(
    stopped: list[int],
) -> None:
    async def test() -> None:
        lifecycle = Lifecycle()
        lifecycle.drain_on_sigterm(on_drain=lambda: None)
        lifecycle.drain(2)
        lifecycle.drain()
        assert stopped == [signal.SIGTERM, signal.SIGTERM]
        assert lifecycle.exit_code == 2

    asyncio.run(test())


def test_requests_alone_stop_nothing(stopped: list[int]) -> None:
    async def test() -> None:
        lifecycle = Lifecycle()
        lifecycle.drain_on_sigterm(on_drain=lambda: None)
        with lifecycle.request():
            pass
        assert (lifecycle.state, stopped) == ("loading", [])

    asyncio.run(test())
