"""A lock on a folder: one holder, gone with its process, and file systems that have none."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ttsrl.errors import BadInput
from ttsrl.runtime.hold import WORKS_IN, hold_run, is_held

HOLDS = """
import sys, time
from pathlib import Path
from ttsrl.runtime.hold import hold_run
with hold_run(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_one_process_holds_a_folder_until_it_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "a run"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(folder)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        assert is_held(folder / WORKS_IN)
        with (
            pytest.raises(BadInput, match=rf"another command \(process {holder.pid}\) trains in"),
            hold_run(folder),
        ):
            pytest.fail("it was held twice")
    finally:
        holder.kill()
        holder.communicate()
    assert not is_held(folder / WORKS_IN)
    with hold_run(folder):
        assert (folder / WORKS_IN).read_text() == str(os.getpid())


def test_a_folder_that_is_looked_at_is_not_refused(tmp_path: Path) -> None:
    """To see whether a lock is held, one must take it for a moment."""
    folder = tmp_path / "run"
    with hold_run(folder):
        pass
    look = "import sys, time, fcntl; f = open(sys.argv[1]); fcntl.flock(f, fcntl.LOCK_EX); "
    look += "print('looks', flush=True); time.sleep(0.2)"
    looker = subprocess.Popen(
        [sys.executable, "-c", look, str(folder / WORKS_IN)], stdout=subprocess.PIPE, text=True
    )
    assert looker.stdout is not None and looker.stdout.readline() == "looks\n"
    with hold_run(folder):
        assert is_held(folder / WORKS_IN)
    looker.communicate()


def test_a_file_system_without_locks_is_said_and_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def flock(*_: object) -> None:  # Lustre and NFS answer so; neither can be mounted here
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", flock)
    with hold_run(tmp_path):
        assert not is_held(tmp_path / WORKS_IN)
    said = capsys.readouterr().err
    assert f"the file system of {tmp_path} has no locks (No locks available)" in said
