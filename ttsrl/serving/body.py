"""Reads the bodies of requests, within limits of size, time and memory."""

from __future__ import annotations

import asyncio
from collections import Counter

from starlette.types import Receive

from ttsrl.serving.asking import asking

CLIENT_LEFT = 499
MAX_BODY_BYTES = 64 * 2**20
TOO_LARGE = f"the body is larger than {MAX_BODY_BYTES} bytes; split it"
MAX_BYTES_HELD = 2 * MAX_BODY_BYTES
"""Of all bodies being read or measured; what they are parsed into takes several times that."""
BODY_DEADLINE_S = 30.0
"""A client that needs longer to send a body only holds memory."""


class HeldBytes:
    """Bytes of all bodies that are read or measured, by run."""

    def __init__(self) -> None:
        self._of_run: Counter[str] = Counter()

    def add(self, run: str, count: int) -> bool:
        """A body holds more (or less); whether there is room for it.

        Who holds less than an equal share has room even where others hold everything.
        """
        self._of_run[run] += count
        if not self._of_run[run]:
            del self._of_run[run]
        share = MAX_BYTES_HELD / max(1, len(self._of_run))
        return self._of_run.total() <= MAX_BYTES_HELD or self._of_run[run] <= share


class Body:
    """A request's body while it is read, counted among all that are held."""

    def __init__(self, held: HeldBytes, receive: Receive) -> None:
        self.size = 0
        self._held = held
        self._receive = receive
        self._run = asking.get()

    async def read(self) -> bytes | tuple[int, str]:
        """The body; or the status and the reason with which the request is refused."""
        try:
            async with asyncio.timeout(BODY_DEADLINE_S):
                return await self._read()
        except TimeoutError:
            return 408, f"the body did not come within {BODY_DEADLINE_S:g} s"

    def release(self) -> None:
        """It is answered."""
        self._held.add(self._run, -self.size)

    async def _read(self) -> bytes | tuple[int, str]:
        chunks: list[bytes] = []
        while True:
            message = await self._receive()
            if message["type"] != "http.request":
                return CLIENT_LEFT, "the client left"
            chunks.append(message.get("body", b""))
            self.size += len(chunks[-1])
            has_room = self._held.add(self._run, len(chunks[-1]))
            if self.size > MAX_BODY_BYTES:
                return 413, TOO_LARGE
            if not has_room:
                return 429, "other requests take all the memory there is for bodies"
            if not message.get("more_body", False):
                return b"".join(chunks)
