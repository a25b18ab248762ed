"""onnxruntime sends nothing home from a scorer, and leaves no session file."""

import os
import subprocess
import sys
from pathlib import Path

from support.paths import ROOT


def test_a_scorer_leaves_no_session_of_onnxruntime(tmp_path: Path) -> None:
    program = "from ttsrl.scorers.dnsmos import DnsmosScorer; DnsmosScorer('cpu', 1)"
    environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    environment |= {"TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)
    assert list(tmp_path.iterdir()) == []
