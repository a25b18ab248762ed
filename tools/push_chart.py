"""The chart's package to an OCI registry, with its provenance file where it was signed.

    python -m tools.push_chart DIST REGISTRY/PATH [OPTIONS OF helm push]

Prints the reference of what was pushed, by digest, for cosign. Helm is logged in already. Only
Python's own library is needed.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

DIGEST = re.compile(r"^Digest: (sha256:[0-9a-f]{64})$", re.MULTILINE)


def push(dist: Path, repository: str, *options: str, helm: str | Path = "helm") -> str:
    """`REGISTRY/PATH/ttsrl@sha256:...` of the one chart in `dist`; the error has Helm's words."""
    packed = sorted(dist.glob("*.tgz"))
    if len(packed) != 1:
        sys.exit(f"{dist} has {len(packed)} charts, not 1: make dist")
    command = [helm, "push", packed[0], f"oci://{repository}", *options]
    done = subprocess.run(command, capture_output=True, text=True)
    said = done.stdout + done.stderr
    found = DIGEST.search(said)
    if done.returncode or found is None:
        sys.exit(f"helm push of {packed[0].name} to {repository} failed: {said.strip()}")
    return f"{repository}/ttsrl@{found[1]}"


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    print(push(Path(sys.argv[1]), *sys.argv[2:]))
