"""What the tests' jobs do: functions that a new Python finds by their names."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from ttsrl.errors import BadInput

KEPT: list[str] = []
TESTS = Path(__file__).parents[1]


def with_tests() -> dict[str, str]:
    """Environment of a job that calls one of these."""
    path = [str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(path)}


def family(mark: str, kind: str) -> None:
    """Start a daemon with `mark` on its command line, write `ready PID`, and wait."""
    daemon = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    # a grandchild that leaves its parent and its session, as Ray's daemons do
    start = (
        "import subprocess, sys; subprocess.Popen("
        f"[sys.executable, '-c', {daemon!r}, {mark!r}], start_new_session=True)"
    )
    subprocess.run([sys.executable, "-c", start], check=True)
    if kind == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("ready", os.getpid(), flush=True)
    time.sleep(0 if kind == "short" else 60)


def says(text: str, code: int) -> int:
    """Print lines, end with a code."""
    print(text.replace("|", "\n"))
    return code


def open_files() -> None:
    """Tell the numbers of the files that a job begins with."""
    files = sorted(map(int, os.listdir("/proc/self/fd")))  # noqa: PTH208
    print(json.dumps(files[:-1]))  # the last one lists them


def dies() -> None:
    """As the kernel kills."""
    os.kill(os.getpid(), signal.SIGKILL)


def fails(message: str) -> None:
    """An unexpected failure."""
    raise ValueError(message)


def keeps(word: str) -> None:
    """Tell all words that this process was ever given."""
    KEPT.append(word)
    print(*KEPT)


def refuses(why: str) -> None:
    """Bad input."""
    raise BadInput(why)
