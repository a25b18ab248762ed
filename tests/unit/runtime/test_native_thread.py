"""Processes that end while a thread is in native code."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys, threading, time
import numpy as np, torch
from ttsrl.runtime.native_thread import abandon_native_threads
from ttsrl.serving.scorer_thread import ScorerThread

thread, begun = ScorerThread("hung"), threading.Event()
def multiply():
    begun.set()
    matrix = torch.ones(1500, 1500)
    while True:
        matrix = matrix @ matrix * 0
if "idle" in sys.argv:
    assert thread.start(lambda: 7).result() == 7
else:
    thread.start(multiply)
    begun.wait()
print("said")
abandon_native_threads(3)
print("idle")
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True
    )


def test_a_process_ends_under_a_thread_that_still_calculates() -> None:
    ended = run()
    assert (ended.returncode, ended.stdout, ended.stderr) == (3, "said\n", "")


def test_an_idle_thread_leaves_the_end_to_the_interpreter() -> None:
    ended = run("idle")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "said\nidle\n", "")
