"""From a training's start on a CPU to its first step: verl's processes forked off one, and not.

python benchmarks/start_speed.py --times 2
The tiny stack, both ways in turn. The processor's seconds are those of every process of the run, as
last seen.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil
from reward_speed import server, wait_loaded
from train_speed import REWARD

from ttsrl.config.load import dump_run, load_run
from ttsrl.training.forked_workers import FORK

CONFIG = Path(__file__).parents[1] / "examples" / "tiny" / "run.json"
WAYS = {"forked": "1", "each imports its own": "0"}
SMALL = ("train.steps=1", "train.prompts_per_step=4", "rollout.group_size=4", "guards.audit=off")
LOOK_S = 0.25


def main() -> None:
    """Train one step each way, and print seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, server(*REWARD, str(CONFIG), "--port") as url:
        wait_loaded(url)
        for turn in range(arguments.times):
            for way, fork in WAYS.items():
                start = time.monotonic()
                first, cpu_s = train(Path(folder) / f"{fork}-{turn}", url, fork)
                print(
                    f"{way}: first step after {first - start:.1f} s, ended after "
                    f"{time.monotonic() - start:.1f} s, {cpu_s:.1f} s of a core",
                    flush=True,
                )


def train(work_dir: Path, url: str, fork: str) -> tuple[float, float]:
    """Train to the end: when the first step was written down, and the processor's seconds."""
    work_dir.mkdir()
    storage = f"storage={work_dir / 'storage'}"
    run = load_run(CONFIG, [*SMALL, storage, f"reward.url={url}"])
    config, steps, log = (work_dir / name for name in ("run.json", "train/steps.jsonl", "log"))
    config.write_text(dump_run(run))
    command = ["-m", "ttsrl", "job", "train", "--config", str(config), "--work-dir", str(work_dir)]
    with log.open("w") as output:
        process = psutil.Popen(
            [sys.executable, *command],
            env={**os.environ, FORK: fork},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        first, spent = None, dict[int, float]()
        while process.poll() is None:
            if first is None and steps.exists() and steps.stat().st_size:
                first = time.monotonic()
            with suppress(psutil.NoSuchProcess):
                for one in [process, *process.children(recursive=True)]:
                    times = one.cpu_times()
                    spent[one.pid] = times.user + times.system
            time.sleep(LOOK_S)
    if process.returncode or first is None:
        raise SystemExit(f"training failed:\n{log.read_text()}")
    return first, sum(spent.values())


if __name__ == "__main__":
    main()
