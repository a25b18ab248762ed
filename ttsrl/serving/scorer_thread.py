"""A thread for one scorer, so that a hung one stops neither the others nor the service."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")


class ScorerThread:
    """Runs what is given to it one after the other.

    The thread is a daemon: one that hangs must not keep a service that gives up from ending, as
    concurrent.futures' own threads would.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._work: SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = SimpleQueue()
        threading.Thread(target=self._run, name=f"scorer-{name}", daemon=True).start()

    def start(self, function: Callable[[], T]) -> Future[T]:
        """Hand over a call; cancelling its future before it has begun spares it."""
        future: Future[T] = Future()
        self._work.put((future, function))
        return future

    def _run(self) -> None:
        while True:
            future, function = self._work.get()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(function())
            except BaseException as error:  # the caller's to handle, whatever it is
                future.set_exception(error)
            del future, function  # else what they hold lives until the next call
