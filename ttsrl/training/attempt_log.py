"""What each attempt of a run said and how it ended, in storage: its pods may be gone by then.

`log/attempts/TIME-MACHINE/` has attempt.json and the end of verl.log. In the former, `end` is null
where the attempt was killed.
"""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ttsrl.errors import BadInput, Failure
from ttsrl.storage.run_store import RunStore

EVERY_S = 60.0
MOST_BYTES = 1_000_000
END_S = 10.0
"""What storage that hangs may delay the end of an attempt."""
TIME = "%Y-%m-%dT%H-%M-%SZ"


class AttemptLog:
    """Publishes for as long as it is entered, and once more at the end.

    A failure here costs nothing else.
    """

    def __init__(self, store: RunStore, log: Path) -> None:
        self._storage = store.storage
        self._machine = socket.gethostname()
        self._key = store.attempt(f"{time.strftime(TIME, time.gmtime())}-{self._machine}")
        self._log = log
        self._began = log.stat().st_size if log.exists() else 0
        self._end: str | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="attempt-log", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._end = "done" if error is None else f"{type(error).__name__}: {error}"
        self._ended.set()
        self._thread.join(END_S)

    def _run(self) -> None:
        while not self._ended.wait(EVERY_S):
            self._try()
        self._try()

    def _try(self) -> None:
        try:
            self._publish()
        except (BadInput, Failure) as error:
            print(f"log of this attempt not published: {error}", flush=True)

    def _publish(self) -> None:
        about: dict[str, Any] = {"machine": self._machine, "end": self._end}
        self._storage.write_json(f"{self._key}/attempt.json", about)
        if self._log.exists():
            with self._log.open("rb") as file:
                size = file.seek(0, 2)
                file.seek(max(self._began, size - MOST_BYTES))
                text = file.read().decode(errors="replace")
            self._storage.write_text(f"{self._key}/verl.log", text)
