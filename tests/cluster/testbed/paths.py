"""Where the cluster's programs and its state lie: never inside the checkout."""

import os
import tomllib
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
TOOLS = REPOSITORY / "tests/cluster/tools"
CACHE = Path(os.environ.get("TTSRL_CACHE") or Path.home() / ".cache/ttsrl").resolve()
STATE = CACHE / "cluster"  # of the running cluster; `down` removes it
KUBECONFIG = STATE / "admin.conf"
VERSION = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]


class TestbedError(Exception):
    """The cluster cannot be made on this machine; the text says why and what to do."""
