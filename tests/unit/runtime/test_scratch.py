"""Temporary folders: gone with their block, and after a kill with the next one."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from ttsrl.runtime.scratch import HELD, YOUNG_S, scratch

HOLD = """
import sys, time
from ttsrl.runtime.scratch import scratch
with scratch("ttsrl-test-") as folder:
    print(folder, flush=True)
    time.sleep(600)
"""


def test_what_a_killed_process_left_goes_with_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    holder = subprocess.Popen([sys.executable, "-c", HOLD], stdout=subprocess.PIPE, env=environment)
    assert holder.stdout is not None
    left = Path(holder.stdout.readline().decode().strip())
    long_ago = left.stat().st_mtime - 2 * YOUNG_S
    os.utime(left / HELD, (long_ago, long_ago))
    (tmp_path / "ttsrl-test-of-somebody").mkdir()
    with scratch("ttsrl-test-") as own:
        assert left.is_dir(), "it is in use"
        assert own.is_dir()
    assert not own.exists()
    holder.kill()
    holder.wait()
    holder.stdout.close()
    assert left.is_dir()
    with scratch("ttsrl-test-"):
        assert not left.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["ttsrl-test-of-somebody"]
