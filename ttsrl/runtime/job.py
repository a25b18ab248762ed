"""A job as a process: started under a reaper, its output in a log, stopped with all it started."""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from ttsrl.errors import BadInput, Failure, Stopped
from ttsrl.runtime import reaper
from ttsrl.runtime.call import Call
from ttsrl.runtime.exit_codes import BAD_INPUT, INTERRUPTED, STOPPED, STOPPED_BY
from ttsrl.runtime.machine import free_disk_bytes

FULL_DISK_BYTES = 64 * 2**20
"""What is left on a disk that is the likely reason why a job failed."""
GRACE_S = 5.0
"""What a stopped job gets to clean up before everything of it is killed."""
OF_EVERY_JOB = {"PYTHONUNBUFFERED": "1", "TOKENIZERS_PARALLELISM": "false"}
"""Its log is read while it is written; tokenizers would warn that they are forked."""


class JobProcess:
    """A module of ours in a process group of its own, output appended to a log.

    Nothing of it outlives `stop`, its own end, or the end of this process, a kill -9 included.
    Start one from the main thread: the kernel takes the end of the starting thread for ours.
    """

    def __init__(
        self,
        name: str,
        module: str,
        stdin: int,
        log: Path,
        environment: Mapping[str, str] | None = None,
        python: str = sys.executable,
    ) -> None:
        """`stdin`: a file that it inherits as its standard input."""
        self.name = name
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self._start = output.tell()
            self.output = Tail(log, self._start)
            guarded = [sys.executable, "-IS", reaper.__file__, str(os.getpid()), str(GRACE_S)]
            self._process = subprocess.Popen(
                # -P: what lies in the user's folder is not to be imported
                [*guarded, python, "-P", "-m", module],
                env={**os.environ, **OF_EVERY_JOB, **(environment or {})},
                stdin=stdin,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C on the terminal is for us, and we tell the job
            )

    def is_running(self) -> bool:
        """False after exit code 0. Raises what `explain_exit` makes of any other."""
        code = self._process.poll()
        if code:
            with self.log.open("rb") as file:
                file.seek(self._start)
                output = file.read().decode(errors="replace")
            raise explain_exit(self.name, code, output, self.log)
        return code is None

    def interrupt(self) -> None:
        """Ask it to end; `stop` waits for that."""
        if self._process.poll() is None:
            self._process.terminate()

    def stop(self) -> None:
        """End it and all that it started, within GRACE_S and a little."""
        self.interrupt()
        try:
            self._process.wait(GRACE_S + 2 * reaper.LEFTOVERS_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Job(JobProcess):
    """A function's call.

    The function is one that a new Python finds by its name; what it returns, if anything, is its
    exit code. It and its arguments are pickled.
    """

    def __init__(
        self,
        name: str,
        function: Callable[..., int | None],
        arguments: tuple[object, ...],
        log: Path,
        environment: Mapping[str, str] | None = None,
        python: str = sys.executable,
    ) -> None:
        call: Call = (function, arguments)
        with tempfile.TemporaryFile() as sent:
            pickle.dump(call, sent)
            sent.seek(0)
            super().__init__(name, "ttsrl.runtime.call", sent.fileno(), log, environment, python)


def stop_all(jobs: Iterable[Job]) -> None:
    """End jobs side by side."""
    jobs = list(jobs)
    for job in jobs:
        job.interrupt()
    for job in jobs:
        job.stop()


class Tail:
    """The complete lines that a growing file has got since the last look."""

    def __init__(self, path: Path, offset: int = 0) -> None:
        self.path = path
        self._offset = offset

    def lines(self) -> list[str]:
        """New lines; none while there is no file."""
        if not self.path.exists():
            return []
        if self.path.stat().st_size < self._offset:
            self._offset = 0  # written anew
        with self.path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        text = whole.decode(errors="replace")
        return re.split(r"\r\n|\r|\n", text)[:-1]  # JSON holds other line ends raw


def explain_exit(name: str, code: int, output: str, log: Path) -> Exception | KeyboardInterrupt:
    """What to raise for a job that ended with `code`: the lines of its output that matter."""
    said = last_words(output)
    if code == BAD_INPUT:
        return BadInput("\n".join(said).removeprefix("error: "))
    if code == STOPPED:
        return Stopped("\n".join(said).removeprefix(STOPPED_BY))
    if code == INTERRUPTED:
        return KeyboardInterrupt()
    ends = {137: "was killed (is the memory full?)", 143: "was terminated"}
    end = ends.get(code, f"failed with exit code {code}")
    if (free := free_disk_bytes(log.parent)) < FULL_DISK_BYTES:
        # libraries say anything but that: torch has a "basic_ios::clear: iostream error"
        end += (
            f", with {free / 1e6:.0f} MB free on the disk of {log.parent}: free some, and the same "
            "command resumes"
        )
    return Failure("\n  ".join([f"{name} {end}:", *said, f"log: {log}"]))


def last_words(output: str, limit: int = 5) -> list[str]:
    """The last errors of a job's output if it tells any, else its last lines."""
    lines = [line.rstrip() for line in output.splitlines() if line.strip()]
    for at in range(len(lines) - 1, -1, -1):
        if lines[at].startswith(("error: ", STOPPED_BY)):
            return lines[at : at + limit]
    errors = [line for line in lines if re.match(r"(\(.*?\) )?[\w.]*(Error|Exception)\b", line)]
    return list(dict.fromkeys(errors))[-limit:] or lines[-limit:]
