"""Threads, progress and cancellation of one publish or pull."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Executor, Future, ThreadPoolExecutor, as_completed, wait
from contextlib import contextmanager
from typing import Self, TypeVar

ProgressCallback = Callable[[int, int], None]
"""progress(done_bytes, total_bytes): called from worker threads, one call at a time."""

PART_BYTES = 16 << 20
"""Size of the parts in which big files travel: what a cut connection or a kill costs at most."""
WORKERS = 8
CONNECTIONS = 2 * WORKERS
"""Requests that may be under way at once: a worker for a file, and one for a part."""

Item = TypeVar("Item")
Result = TypeVar("Result")


class StoppedError(Exception):
    """This transfer has failed elsewhere."""


class Transfer:
    """Moves files and their parts in threads; the first error stops everything else.

    Files and parts have threads of their own, because a file waits for its parts.
    """

    def __init__(self, progress: ProgressCallback | None) -> None:
        self.total = 0
        self._done = 0
        self._progress = progress
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._files = ThreadPoolExecutor(WORKERS, "storage-file")
        self._parts = ThreadPoolExecutor(WORKERS, "storage-part")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # Not cancel_futures: it does not wake those who wait for what it cancels.
        self._files.shutdown()
        self._parts.shutdown()

    def files(self, function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """Results of `function` for each file, in order."""
        futures = self._submit(self._files, function, items)
        try:
            for future in as_completed(futures):
                future.result()
        except BaseException:
            self._stopped.set()
            raise
        return [future.result() for future in futures]

    def parts(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result]:
        """Results of `function` for each part of a file, in order, as soon as they are there.

        When it ends or is closed, no part is still under way.
        """
        futures = self._submit(self._parts, function, items)
        try:
            for future in futures:
                yield future.result()
        finally:
            for future in futures:
                future.cancel()
            wait(futures)

    def advance(self, size: int) -> None:
        """Report bytes that need not move, as they are there."""
        with self._lock:
            self._report(size)

    @contextmanager
    def whole(self) -> Generator[Callable[[int], None]]:
        """Gives `advance(size)` for bytes that arrive together: on an error none has arrived.

        Every loop over bytes calls it, so a transfer that failed elsewhere ends within a chunk.
        """
        moved = 0

        def advance(size: int) -> None:
            nonlocal moved
            if self._stopped.is_set():
                raise StoppedError
            with self._lock:
                moved += size
                self._report(size)

        try:
            yield advance
        except Exception:
            with self._lock:
                self._report(-moved)
            raise

    def _report(self, size: int) -> None:
        self._done += size
        if self._progress is not None and size:
            self._progress(self._done, self.total)

    def _submit(
        self, pool: Executor, function: Callable[[Item], Result], items: Iterable[Item]
    ) -> list[Future[Result]]:
        def unless_stopped(item: Item) -> Result:
            if self._stopped.is_set():
                raise StoppedError
            return function(item)

        return [pool.submit(unless_stopped, item) for item in items]
