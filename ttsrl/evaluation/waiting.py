"""Wait for what another job publishes: with a deadline, and a line that says for what."""

from __future__ import annotations

import time
from collections.abc import Callable

from ttsrl.errors import Failure
from ttsrl.runtime.progress import duration
from ttsrl.storage.errors import StorageError

POLL_S = 5.0
SAY_EVERY_S = 60.0


def wait_until(missing: Callable[[], str], deadline_s: float, poll_s: float = POLL_S) -> None:
    """Return once `missing` says ""; else it says for what to wait, and what would help.

    Storage that fails is asked again. Raises Failure after `deadline_s`, and at once where that is
    0.
    """
    start_s = time.monotonic()
    said, said_s = "", start_s
    while True:
        try:
            what = missing()
        except StorageError as error:
            if not deadline_s:
                raise
            what = f"storage: {error}"
        if not what:
            return
        waited_s = time.monotonic() - start_s
        if waited_s >= deadline_s:
            raise Failure(f"waited {duration(deadline_s)} for {what}")
        if what != said or time.monotonic() - said_s >= SAY_EVERY_S:
            said, said_s = what, time.monotonic()
            print(
                f"waiting for {what} ({duration(waited_s)} of {duration(deadline_s)})", flush=True
            )
        time.sleep(min(poll_s, deadline_s - waited_s))
