"""What SIGTERM asks of training: to save after the step that is under way, and to leave."""

from __future__ import annotations

import signal
import sys
import time
from types import FrameType

EXIT_CODE = 128 + signal.SIGTERM


class Ending:
    """Whether this process has been asked to end; SIGTERM asks once `listen` was called.

    While nothing can be saved, and when it is asked a second time, it ends at once: the signal
    raises SystemExit with its exit code.
    """

    def __init__(self) -> None:
        self.can_save = False
        """Whether a trainer runs, which saves when it is told to."""
        self._asked_s: float | None = None
        self._is_told = False

    def listen(self) -> None:
        """Take SIGTERM from now on; belongs on the main thread."""
        signal.signal(signal.SIGTERM, self._on_signal)

    @property
    def is_asked(self) -> bool:
        return self._asked_s is not None

    def ask(self) -> None:
        """Ask it to end, as SIGTERM does."""
        if self._asked_s is None:
            self._asked_s = time.monotonic()

    def is_new(self) -> bool:
        """True once: when it is seen for the first time that the end was asked for."""
        is_new, self._is_told = self.is_asked and not self._is_told, self.is_asked
        return is_new

    def is_late(self, grace_s: float) -> bool:
        """Whether more than `grace_s` have passed since it was asked."""
        return self._asked_s is not None and time.monotonic() - self._asked_s > grace_s

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        if not self.can_save or self._asked_s is not None:
            sys.exit(128 + number)
        self.ask()
