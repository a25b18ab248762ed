"""How the pods of one job find each other and learn how it ended: a TCP connection to rank 0 each.

Lines of JSON: `{"rank": 1}` from a pod, then from rank 0 `{"ray": "host:port", "token": "..."}`
and, at the end, `{"exit": 0}`. A pod that is to end says `{"ending": 1}`, its rank, before. A
connection that breaks before that is a pod that is lost, on either side; the kernel's keep-alive
finds the machines that vanish without a word.
"""

from __future__ import annotations

import json
import select
import socket
import time
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from ttsrl.errors import BadInput, Failure
from ttsrl.runtime import addresses

MEET_DEADLINE_S = 1800.0
"""Longest wait for the other pods: a node may have to be started, an image pulled."""
HELLO_DEADLINE_S = 5.0
POLL_S = 1.0
KEEP_ALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 6),
)


@dataclass
class JsonConnection:
    """A connection that carries lines of JSON."""

    connection: socket.socket
    _received: bytes = b""

    @property
    def own_address(self) -> str:
        """This machine's address as the other side sees it."""
        return addresses.plain(str(self.connection.getsockname()[0]))

    def send(self, message: Mapping[str, Any]) -> None:
        """Send one line; OSError if the other side is gone."""
        self.connection.sendall(json.dumps(message).encode() + b"\n")

    def poll(self, timeout_s: float) -> dict[str, Any] | None:
        """The next line, None if none comes in time. Raises Failure if the other side is gone."""
        if b"\n" not in self._received:
            if not select.select([self.connection], [], [], timeout_s)[0]:
                return None
            try:
                data = self.connection.recv(4096)
            except OSError:
                data = b""
            if not data:
                raise Failure("the connection to another pod of this job broke: that pod is lost")
            self._received += data
        line, newline, rest = self._received.partition(b"\n")
        if not newline:
            return None
        self._received = rest
        return json.loads(line)

    def wait(self) -> dict[str, Any]:
        """The next line, however long it takes. Raises Failure if the other side is gone."""
        while (line := self.poll(POLL_S)) is None:
            pass
        return line


@dataclass
class Others:
    """Rank 0's connections to all other pods."""

    lines: dict[int, JsonConnection] = field(default_factory=dict)

    @property
    def own_address(self) -> str:
        """Rank 0's address as the others see it."""
        return next((line.own_address for line in self.lines.values()), "127.0.0.1")

    def tell(self, message: Mapping[str, Any]) -> None:
        """Tell every pod that is still there."""
        for line in self.lines.values():
            with suppress(OSError):
                line.send(message)

    def look(self) -> bool:
        """Whether a pod has said that it is to end. Raises Failure where a pod is lost."""
        is_ending = False
        for rank, line in self.lines.items():
            try:
                is_ending |= line.poll(0) is not None
            except Failure:
                raise Failure(
                    f"the pod of rank {rank} is lost; all end, and when all are started again the "
                    "run resumes from the last published checkpoint"
                ) from None
        return is_ending


@contextmanager
def gather(port: int, count: int) -> Generator[Others]:
    """Wait until `count` other pods are there. Raises BadInput, Failure."""
    others = Others()
    with ExitStack() as stack:
        if count:
            with _listen(port) as server:
                deadline = time.monotonic() + MEET_DEADLINE_S
                while len(others.lines) < count:
                    if time.monotonic() > deadline:
                        raise Failure(
                            f"{len(others.lines)} of {count} other pods came within "
                            f"{MEET_DEADLINE_S:.0f} s; see why the rest is pending"
                        )
                    if (came := _accept(server, count)) is not None:
                        rank, line = came
                        stack.enter_context(line.connection)
                        others.lines[rank] = line  # a pod that was started again replaces itself
                        print(f"{len(others.lines)} of {count} other pods are there", flush=True)
        yield others


@contextmanager
def join(master: str, port: int, rank: int) -> Generator[JsonConnection]:
    """Connect to rank 0, which may not be there yet. Raises Failure."""
    deadline = time.monotonic() + MEET_DEADLINE_S
    while True:
        try:
            connection = socket.create_connection((master, port), timeout=HELLO_DEADLINE_S)
            break
        except OSError as error:  # no name, no route, no listener yet: all may come
            if time.monotonic() > deadline:
                raise Failure(
                    f"no rank 0 at {addresses.with_port(master, port)}: {error}"
                ) from None
            time.sleep(POLL_S)
    with connection:
        connection.settimeout(None)
        _keep_alive(connection)
        line = JsonConnection(connection)
        line.send({"rank": rank})
        yield line


def _listen(port: int) -> socket.socket:
    try:
        server = addresses.listen(addresses.EVERY, port)
    except OSError as error:
        raise BadInput(f"MASTER_PORT = {port}: {error.strerror}; give another") from None
    server.settimeout(POLL_S)
    return server


def _accept(server: socket.socket, count: int) -> tuple[int, JsonConnection] | None:
    """The next pod that says its rank; None if none does, or if it says something else."""
    try:
        connection, _ = server.accept()
    except TimeoutError:
        return None
    connection.settimeout(None)
    _keep_alive(connection)
    line = JsonConnection(connection)
    with suppress(Failure, ValueError, TypeError, AttributeError):
        hello = line.poll(HELLO_DEADLINE_S) or {}
        rank = hello.get("rank")
        if isinstance(rank, int) and 1 <= rank <= count:
            return rank, line
    connection.close()
    return None


def _keep_alive(connection: socket.socket) -> None:
    for level, option, value in KEEP_ALIVE:
        connection.setsockopt(level, option, value)
