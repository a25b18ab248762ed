"""Ray of this machine, which gives its node 30 s to start: a busy or slow machine needs longer."""

from __future__ import annotations

from collections.abc import Callable

from ttsrl.errors import Failure

TIMED_OUT = "The current node timed out during startup"
"""As `ray.init` says it, and nothing else."""
STARTS = 3


def started_again(work: Callable[[], None]) -> None:
    """Do work that starts with Ray; where Ray's node was late, from the beginning, STARTS times.

    Raises Failure, like `work`.
    """
    for left in reversed(range(STARTS)):
        try:
            return work()
        except Failure as error:
            if TIMED_OUT not in str(error):
                raise
            if not left:
                raise Failure(
                    f"Ray did not start within 30 s, {STARTS} times in a row: this machine is too "
                    f"busy; end other programs, and run the same command again\n  {error}"
                ) from error
            print("Ray did not start within 30 s, as on a busy machine; again", flush=True)
