"""Trains one run and resumes it: python -m jobs.train --config run.json --work-dir runs/NAME

Checks, brings back the newest checkpoint, then watches verl: a step that outlasts
`train.step_deadline_s` ends the run, to be started again. Exit code 0: every step is done and
published.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType

from jobs.train import preflight, resume
from jobs.train.follower import Follower
from jobs.train.metrics import TrainMetrics, serve
from jobs.train.verl_args import verl_keys
from ttsrl.config import RunConfig
from ttsrl.errors import Failure
from ttsrl.failing import exit_code
from ttsrl.process import Job
from ttsrl.settings import load_run
from ttsrl.storage import RunStore

START_ALLOWANCE_S = 900.0
"""What the first step may take longer: Ray, verl and the models start before it."""
POLL_S = 0.2


def main() -> None:
    """Exits with 0 done, 1 failed, 2 bad input, 130 interrupted, 143 terminated."""
    parser = argparse.ArgumentParser(prog="python -m jobs.train", description=__doc__)
    parser.add_argument("--config", required=True, help="the run's JSON file")
    parser.add_argument("--work-dir", required=True, type=Path, help="the run's local folder")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(exit_code(lambda: train(arguments.config, arguments.work_dir.absolute())))


def train(config: str, work_dir: Path) -> None:
    """Run to the last step from wherever it stands. Raises BadInput, Failure."""
    run = load_run(config)
    device = device_of(run)
    metrics = TrainMetrics(run, device)
    if run.train.metrics_port is not None:
        serve(metrics, run.train.metrics_port)
    preflight.check(run, work_dir, device)
    store = RunStore(run.storage, run.name)
    resume.claim_run(run, store)
    checkpoints = work_dir / "train" / "checkpoints"
    checkpoints.mkdir(parents=True, exist_ok=True)
    resume.forget(checkpoints)
    step = resume.restore(store, checkpoints)
    if step >= run.train.steps:
        print(f"all {run.train.steps} steps are done and published")
        return
    print(f"training from step {step} to {run.train.steps} on {device}", flush=True)
    with tempfile.TemporaryDirectory(prefix="ttsrl-ray-", ignore_cleanup_errors=True) as ray_dir:
        keys = verl_keys(run, work_dir, device, ray_dir)
        keys_file = work_dir / "train" / "verl.json"
        keys_file.write_text(json.dumps(keys, indent=2) + "\n", encoding="utf-8")
        log = work_dir / "logs" / "verl.log"
        settings = environment(config, device)
        verl = Job("verl", "jobs.train.verl_main", [keys_file], log, settings)
        try:
            _watch(run, verl, Follower(work_dir / "train", metrics))
        finally:
            verl.stop()
    if (published := store.newest_checkpoint()) != run.train.steps:
        raise Failure(f"training ended at step {published} of {run.train.steps}; see {log}")


def device_of(run: RunConfig) -> str:
    """The device that `auto` stands for: cuda where NVIDIA's driver is."""
    if run.train.device != "auto":
        return run.train.device
    return "cuda" if Path("/dev/nvidiactl").exists() else "cpu"


def environment(config: str, device: str) -> dict[str, str]:
    """What every process of verl must find in its environment, beside what every job finds."""
    variables = {
        "TTSRL_RUN_CONFIG": str(Path(config).absolute()),
        "VERL_USE_EXTERNAL_MODULES": "jobs.train.plugin",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_DEDUP_LOGS": "0",
    }
    if device == "cpu":
        # stock FSDP engine on the CPU; and threads that sleep while they wait, because several
        # processes share the cores
        variables |= {
            "VERL_PLATFORM": "cpu",
            "VERL_ENGINE_DEVICE": "cuda",
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(os.cpu_count() or 1)),
            "OMP_WAIT_POLICY": "passive",
            "GOMP_SPINCOUNT": "0",
            # Ray lets its workers run at 15, behind every other program of the machine
            "RAY_worker_niceness": os.environ.get("RAY_worker_niceness", "0"),  # noqa: SIM112
        }
    return variables


def _watch(run: RunConfig, verl: Job, follower: Follower) -> None:
    """Wait for verl's end; raises Failure where it fails or a step takes longer than it may."""
    deadline = time.monotonic() + START_ALLOWANCE_S + run.train.step_deadline_s
    while verl.is_running():
        if follower.look():
            deadline = time.monotonic() + run.train.step_deadline_s
        if time.monotonic() > deadline:
            raise Failure(
                f"no step ended within {run.train.step_deadline_s:.0f} s; stopped, and the same "
                f"command goes on from the last checkpoint; see {verl.log}"
            )
        time.sleep(POLL_S)
    follower.look()


def _terminate(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)


if __name__ == "__main__":
    main()
