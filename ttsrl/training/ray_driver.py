"""Training as the driver of a RayJob, whose attempts are counted here.

KubeRay counts every attempt that ends, for the whole life of a job: one whose node was taken away
as one that failed. So it is given many, and failures in a row without a new checkpoint are counted
in the run's storage, as for the pods of a PyTorchJob.
"""

from __future__ import annotations

from pathlib import Path

from ttsrl.config.load import load_run
from ttsrl.errors import BadInput, Failure, Stopped
from ttsrl.runtime.exit_codes import FAILED
from ttsrl.storage.run_store import RunStore
from ttsrl.training.leaving import mark
from ttsrl.training.pod_starts import PodStarts
from ttsrl.training.supervisor import end_ray_job, train_until_terminated


def drive(config: Path, work_dir: Path, max_starts: int) -> None:
    """Train to the end; after `max_starts` starts in a row without a new checkpoint the Ray job is
    ended so that KubeRay does not try again. Raises BadInput, Failure, Stopped."""
    try:
        run = load_run(config)
    except BadInput as error:
        end_ray_job(f"error: {error}")
        raise
    mark(work_dir)
    starts = PodStarts(RunStore(run.storage, run.name), max_starts)
    if not starts.begin():
        _give_up(max_starts)
    try:
        train_until_terminated(config, work_dir)
    except (BadInput, Stopped):
        raise
    except Exception as error:
        if starts.exit_code(FAILED) != FAILED:
            raise
        print(f"error: {error}", flush=True)
        _give_up(max_starts)


def _give_up(max_starts: int) -> None:
    words = f"{max_starts} starts in a row without a new checkpoint"
    end_ray_job(f"error: {words}")
    raise Failure(words)
