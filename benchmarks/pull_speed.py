"""Seconds to pull a model from S3: ttsrl, which verifies it, against other tools, in one run.

python benchmarks/pull_speed.py
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from ttsrl.storage.local_s3 import LocalS3

FILES = {"model-00001.safetensors": 192, "model-00002.safetensors": 63, "config.json": 1}
"""Name -> MiB."""
ROUNDS = 5
TTSRL = """
import sys
from pathlib import Path
from ttsrl.storage.storage import open_storage
action, root, folder = sys.argv[1:]
storage, folder = open_storage(root), Path(folder)
storage.publish(folder, "model") if action == "publish" else storage.pull("model", folder)
"""


def main() -> None:
    """Pull the same 256 MiB by turns, each in a process of its own; print medians and ratios."""
    with tempfile.TemporaryDirectory() as folder, LocalS3(Path(folder)) as server:
        work_dir, environment = Path(folder), server.environment(os.environ)
        source, target = work_dir / "source", work_dir / "target"
        source.mkdir()
        for name, size in FILES.items():
            (source / name).write_bytes(os.urandom(size << 20))
        ttsrl = [sys.executable, "-c", TTSRL]
        run([*ttsrl, "publish", server.root, str(source)], environment)
        address = f"{server.root}/model/"
        tools = {
            "ttsrl": [*ttsrl, "pull", server.root, str(target)],
            "aws s3 cp": ["aws", "s3", "cp", "--recursive", "--quiet", address, str(target)],
            "s5cmd": ["s5cmd", "cp", f"{address}*", f"{target}/"],
        }
        seconds: dict[str, list[float]] = {name: [] for name in tools}
        for _ in range(ROUNDS):
            for name, command in tools.items():
                if shutil.which(command[0]):
                    seconds[name].append(run(command, environment))
                    shutil.rmtree(target)
    mib = sum(FILES.values())
    print(f"{mib} MiB in {len(FILES)} files from rclone on this machine, median of {ROUNDS}")
    for name, times in seconds.items():
        if not times:
            print(f"  {name:10} not installed")
            continue
        ratio = median(times) / median(seconds["ttsrl"])
        print(f"  {name:10} {median(times):5.2f} s  {mib / median(times):5.0f} MiB/s  x{ratio:.2f}")


def run(command: list[str], environment: dict[str, str]) -> float:
    """Seconds that a command takes."""
    begin = time.monotonic()
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - begin


if __name__ == "__main__":
    main()
