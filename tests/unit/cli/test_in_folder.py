"""A command's job, and the signals that end both."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from support.job_functions import with_tests
from support.paths import ROOT

# as a shell starts `ttsrl train ... &` in a script: SIGINT is ignored
IN_BACKGROUND = """
import signal, sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.SIG_IGN)
from support.job_functions import family
from ttsrl.cli.in_folder import do
from ttsrl.runtime.exit_codes import exit_code
folder = Path(sys.argv[1])
sys.exit(exit_code(lambda: do("job", folder, family, str(folder), "wait")))
"""
DEADLINE_S = 120.0


def test_sigterm_ends_a_command_that_a_script_started_in_the_background(tmp_path: Path) -> None:
    command = subprocess.Popen(
        [sys.executable, "-c", IN_BACKGROUND, str(tmp_path)],
        cwd=ROOT,
        env=with_tests(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    log = tmp_path / "logs" / "job.log"
    deadline = time.monotonic() + DEADLINE_S
    while not log.exists() or "ready" not in log.read_text():
        assert command.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    started = psutil.Process(command.pid).children(recursive=True)

    command.send_signal(signal.SIGTERM)
    output, _ = command.communicate(timeout=DEADLINE_S)

    assert command.returncode == 130, output
    assert "interrupted; the same command resumes" in output
    _, alive = psutil.wait_procs(started, timeout=DEADLINE_S)
    assert not alive
