"""How long nothing was under way."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager


class IdleTime:
    """Of one thread, which may do several things at once (asyncio)."""

    def __init__(self) -> None:
        self._under_way = 0
        self._idle_s = 0.0
        self._since_s = time.monotonic()
        """Begin of the present idleness, where there is one."""

    @contextmanager
    def at_work(self) -> Generator[None]:
        """Something is under way while the block runs."""
        if self._under_way == 0:
            self._idle_s += time.monotonic() - self._since_s
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1
            if self._under_way == 0:
                self._since_s = time.monotonic()

    def take(self) -> float:
        """Idle seconds since the last call."""
        now_s = time.monotonic()
        if self._under_way == 0:
            self._idle_s += now_s - self._since_s
            self._since_s = now_s
        idle_s, self._idle_s = self._idle_s, 0.0
        return idle_s
