"""Programs that are forked off a process by `ttsrl.runtime.preloaded`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil

from support.paths import ROOT
from ttsrl.runtime.forked_python import python_of

DEADLINE_S = 120.0
PRELOADED = """
import colorsys, os, sys, threading, time
from pathlib import Path
from ttsrl.runtime.preloaded import serve_forks
{begins}
serve_forks(Path(sys.argv[1]), lambda: os.environ.setdefault("PREPARED", "yes") == "yes")
print("continues", os.getpid(), os.getppid(), flush=True)
sys.exit(int(sys.stdin.readline() or 0))
"""


class Preloaded:
    """Programs that are forked off a process, which lives until it is told its exit code."""

    def __init__(self, folder: Path, begins: str = "") -> None:
        self.folder = folder / "a path with a space"
        self.folder.mkdir()
        self.socket = self.folder / "socket"
        self.process = subprocess.Popen(
            [sys.executable, "-c", PRELOADED.format(begins=begins), str(self.socket)],
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.said = self.process.stdout.readline()
        if self.said.startswith("continues"):
            self.main = psutil.Process(int(self.said.split()[-2]))

    def start(
        self, text: str, *arguments: str, file: int = 2, number: int = 2
    ) -> subprocess.Popen[str]:
        """A program that finds `file` open under a number."""
        program = self.folder / "program.py"
        program.write_text(text)
        placed = ("bash", "-c", f'exec "$@" {number}>&{file}', "bash")
        return subprocess.Popen(
            [*placed, *python_of(str(self.socket)), program, *arguments],
            pass_fds=(file,),
            cwd=self.folder,
            env={"TTSRL_TOLD": str(arguments)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def end(self, code: int = 0) -> int:
        self.process.communicate(f"{code}\n", timeout=DEADLINE_S)
        return self.process.returncode
