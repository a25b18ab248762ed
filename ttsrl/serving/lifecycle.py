"""The life of the service's process: it loads, is ready, drains, and ends with an exit code."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Literal

State = Literal["loading", "ready", "shutting down"]


class Lifecycle:
    """One per process, as signals and exit codes are.

    loading -> ready -> shutting down; a service that cannot load skips the second.
    """

    def __init__(self) -> None:
        self.state: State = "loading"
        self.exit_code = 0
        """What the process ends with, unless it is interrupted."""
        self._running = 0
        self._on_drain: Callable[[], None] = lambda: None
        self._stop_server: Callable[[], None] = lambda: None

    def drain_on_sigterm(self, on_drain: Callable[[], None]) -> None:
        """Answer SIGTERM by draining; `on_drain` is called as soon as nothing more is taken.

        Only then does the server's own handler get the signal: it would close the port at once, and
        Kubernetes still sends requests until all of its nodes know that the pod is not ready.
        """
        server_handler = signal.getsignal(signal.SIGTERM)
        if callable(server_handler):
            self._stop_server = lambda: server_handler(signal.SIGTERM, None)
        self._on_drain = on_drain
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.drain)

    def drain(self, exit_code: int = 0) -> None:
        """Take no more, finish what runs, then let the server stop."""
        self.exit_code = max(self.exit_code, exit_code)
        self.state = "shutting down"
        self._on_drain()
        self._stop_when_idle()

    @contextmanager
    def request(self) -> Generator[None]:
        """A request that is finished before the process ends."""
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1
            self._stop_when_idle()

    def _stop_when_idle(self) -> None:
        if self.state == "shutting down" and not self._running:
            self._stop_server()


lifecycle = Lifecycle()
"""Of this process."""
