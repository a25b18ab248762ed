"""A thread for one scorer, so that a hung one stops neither the others nor the service."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

from ttsrl.runtime.native_thread import NativeThread

T = TypeVar("T")


class ScorerThread:
    """Runs what is given to it one after the other.

    The thread is a daemon: one that hangs must not keep a service that gives up from ending, as
    concurrent.futures' own threads would.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._work: SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = SimpleQueue()
        self._thread = NativeThread(target=self._run, name=f"scorer-{name}", daemon=True)
        self._thread.start()

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
            self._thread.busy = True
            try:
                result = function()
            except BaseException as error:  # the caller's to handle, whatever it is
                self._thread.busy = False
                future.set_exception(error)
            else:
                self._thread.busy = False
                future.set_result(result)
                del result
            del future, function  # else what they hold lives until the next call
