"""Threads that call native code, and the end of a process in which one of them still does."""

from __future__ import annotations

import os
import sys
import threading


class NativeThread(threading.Thread):
    """A daemon thread that knows whether it is in a call."""

    busy = False


def abandon_native_threads(code: int) -> None:
    """End the process at once, with this exit code, if a native thread is still in a call.

    Python stops daemon threads at its end by unwinding their stacks. In C++ that aborts the process
    ("terminate called without an active exception", exit code 134).
    """
    threads = threading.enumerate()
    if any(isinstance(thread, NativeThread) and thread.busy for thread in threads):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
