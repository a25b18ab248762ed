"""Host processes of the cluster: started detached, known by a pid file, ended by that pid alone."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .paths import STATE, TestbedError

RUN, LOGS = STATE / "run", STATE / "log"


def run(*command: str | Path, input: str | None = None, check: bool = True, **options: Any) -> str:
    """Run a command to its end; its standard output. Its own words are the error."""
    done = subprocess.run(
        [str(part) for part in command], input=input, capture_output=True, text=True, **options
    )
    if check and done.returncode:
        said = (done.stderr or done.stdout).strip()[-3000:]
        raise TestbedError(
            f"`{' '.join(map(str, command))[:300]}` failed ({done.returncode}): {said}"
        )
    return done.stdout


def start(name: str, *command: str | Path) -> None:
    """Start a process that outlives this one, unless it runs."""
    if alive(name):
        return
    RUN.mkdir(parents=True, exist_ok=True)
    LOGS.mkdir(parents=True, exist_ok=True)
    with (LOGS / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    (RUN / f"{name}.pid").write_text(f"{process.pid} {_started(process.pid)}")


def alive(name: str) -> bool:
    return _pid(name) is not None


def stop(name: str, signal_number: int = signal.SIGTERM, patience_s: float = 5.0) -> None:
    """End a process that `start` started; SIGKILL where it does not go."""
    if pid := _pid(name):
        os.kill(pid, signal_number)
        deadline = time.monotonic() + patience_s
        while _pid(name) and time.monotonic() < deadline:
            time.sleep(0.05)
        if pid := _pid(name):
            os.kill(pid, signal.SIGKILL)
    (RUN / f"{name}.pid").unlink(missing_ok=True)


def wait(what: str, ready: Callable[[], object], seconds: float, log: str = "") -> None:
    """Wait until `ready` gives something true; then nothing, else an error that names the log."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            tail = "".join((LOGS / f"{log}.log").open().readlines()[-15:]) if log else ""
            raise TestbedError(f"{what} did not happen within {seconds:.0f} s\n{tail}")
        time.sleep(0.2)


def _pid(name: str) -> int | None:
    """The pid in the pid file, if it still is the process that was started."""
    try:
        pid, started = (RUN / f"{name}.pid").read_text().split()
        return int(pid) if _started(int(pid)) == started else None
    except FileNotFoundError:
        return None


def _started(pid: int) -> str:
    """Start time of a running process, in ticks since boot; no other process with its pid has it.

    Raises FileNotFoundError where there is none, or one that has ended and waits to be reaped.
    """
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    if fields[0] == "Z":
        raise FileNotFoundError(pid)
    return fields[19]
