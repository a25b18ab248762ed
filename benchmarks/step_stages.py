"""Where a training step spends its time: a short run of the tiny stack, the share of each stage.

python benchmarks/step_stages.py
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import fmean

from ttsrl.evaluation.report.inputs import RunFolder, read_run_folder

CONFIG = Path(__file__).parents[1] / "examples" / "tiny" / "run.json"
SHORT = {"name": "bench", "train.steps": 5, "train.warmup_steps": 1, "eval.max_texts": 4}


def main() -> None:
    """Train a few steps by the quickstart's own stages and print the table."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["-m", "ttsrl", "quickstart", "--config", str(CONFIG), "--work-dir", folder]
        for key, value in SHORT.items():
            command += ["--set", f"{key}={value}"]
        log = Path(folder) / "quickstart.log"
        with log.open("w") as output:
            done = subprocess.run([sys.executable, *command], stdout=output, stderr=output)
        if done.returncode:
            raise SystemExit(f"the short run failed:\n{log.read_text()}")
        run = read_run_folder(Path(folder))
    seconds = stage_seconds(run)
    whole = seconds.pop("whole step")
    print(f"a step of {run.run.train.prompts_per_step} x {run.run.rollout.group_size} rollouts,")
    print(f"tiny stack, mean of {len(run.steps) - 1} steps after the first: {whole:.2f} s")
    for name, s in seconds.items():
        print(f"  {name:28} {s:6.2f} s  {s / whole:5.1%}")


def stage_seconds(folder: RunFolder) -> dict[str, float]:
    """Mean seconds of a step and of its stages, without the first, which waits for workers."""
    names = sorted({name for step in folder.steps for name in step.seconds_by_stage})
    steps = folder.steps[1:]
    stages = {name: fmean(s.seconds_by_stage.get(name, 0.0) for s in steps) for name in names}
    return {"whole step": fmean(s.seconds for s in steps), **stages}


if __name__ == "__main__":
    main()
