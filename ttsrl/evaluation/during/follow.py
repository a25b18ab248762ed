"""The evaluation of checkpoints as a program: beside a local training, by hand, and in a pod."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from ttsrl.config.load import config_hash, dump_run, load_run
from ttsrl.config.schema import RunConfig
from ttsrl.evaluation.during.evaluator import Beside, CheckpointEvaluator
from ttsrl.evaluation.during.models import CheckpointModels, MergedBeside, MergedHere
from ttsrl.evaluation.during.plan import during_of
from ttsrl.records.during import FOLDER
from ttsrl.records.guard import GuardEvent, stopped_by
from ttsrl.records.record import parse
from ttsrl.records.training_end import TrainingEnd
from ttsrl.runtime.exit_codes import exit_on_sigterm
from ttsrl.runtime.hold import hold
from ttsrl.runtime.machine import cores
from ttsrl.storage.atomic import replace_text
from ttsrl.storage.errors import StorageError
from ttsrl.storage.published import RUN
from ttsrl.storage.run_store import RunStore

ENDED = "training-ended"
"""A file in it by which a local training tells that no checkpoint follows."""
LOWEST_PRIORITY = 19
LOG_EVERY_S = 60.0
STOPPED_S = 600.0
"""In which a training that a guard stops has published its last checkpoint, and whoever mends what
was refused has started it again."""


def follow_here(config: Path, work_dir: Path, cuda: str) -> None:
    """Evaluate checkpoints on this machine until training tells its end, or its last is done.

    `cuda` is the CUDA_VISIBLE_DEVICES to compute on, empty for the CPU. Raises BadInput, Failure.
    """
    run = load_run(config)
    folder = work_dir / FOLDER
    with alone_in(folder):
        os.nice(LOWEST_PRIORITY)
        os.environ.update(threads_beside())
        store = RunStore(run.storage, run.name)
        config = _kept(run, folder)
        models = MergedHere(folder / "models", store, config, folder / "logs" / "merge.log")
        environment = {"CUDA_VISIBLE_DEVICES": cuda}
        beside = Beside(
            config, work_dir / "data", folder, environment, (folder / ENDED).is_file, poll_s=1.0
        )
        CheckpointEvaluator(run, store, models, beside).follow()


def threads_beside() -> dict[str, str]:
    """Environment of what computes beside training on the same cores: at most half of them, and
    threads that wait without computing.

    At the lowest priority, on cores that training holds, threads that wait for each other take ten
    times as long as one.
    """
    threads, told = max(1, int(cores() / 2)), os.environ.get("OMP_NUM_THREADS", "")
    if told.isdecimal():
        threads = min(threads, int(told))
    return {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}


def follow_in_pod(config: Path, work_dir: Path, merged: Path | None, idle_s: float) -> None:
    """Evaluate checkpoints in a pod until the run's last is done, or training stands still.

    `merged` is the folder in which another container merges. Raises BadInput, Failure.
    """
    run = load_run(config)
    during = during_of(run)
    exit_on_sigterm()
    store = RunStore(run.storage, run.name)
    folder = work_dir / FOLDER
    config = _kept(run, folder)
    models: CheckpointModels = (
        MergedHere(folder / "models", store, config, folder / "logs" / "merge.log")
        if merged is None
        else MergedBeside(merged, store)
    )
    environment = {"CUDA_VISIBLE_DEVICES": ""} if during.device == "cpu" else {}
    has_ended = standing_still(run, store, idle_s)
    beside = Beside(config, work_dir / "data", folder, environment, has_ended)
    CheckpointEvaluator(run, store, models, beside).follow()


def standing_still(run: RunConfig, store: RunStore, idle_s: float) -> Callable[[], bool]:
    """Tells whether a training that had begun has written no step for so long, or has ended: a
    guard stopped it, its start was refused, or too many starts failed.

    It may have been stopped, or waits for machines: whoever starts it again starts this too.
    """
    patience_s = max(idle_s, 2 * run.train.step_deadline_s)
    began_s, refused = time.time(), config_hash(run)
    known: str | None = None
    wait_s: float | None = None
    changed_s = looked_s = time.monotonic()

    def has_ended() -> bool:
        nonlocal known, wait_s, changed_s, looked_s
        now = time.monotonic()
        if known is None or now - looked_s >= LOG_EVERY_S:
            looked_s = now
            try:
                log = store.storage.read_text(store.steps_log)
                end = _noted_end(store, refused)
                is_stopped = _guard_ended(run, store)
            except StorageError:
                return False
            last = None if log is None else log[-200:]
            if last != known:
                known, changed_s = last, now
            wait_s = None if known is None else patience_s
            if end is not None:  # one of before: who started this has started training, too
                wait_s = STOPPED_S if end.at_s > began_s else patience_s
            if is_stopped:
                wait_s = STOPPED_S
        return wait_s is not None and now - changed_s > wait_s

    return has_ended


def _noted_end(store: RunStore, config: str) -> TrainingEnd | None:
    """Why training has ended for good; what refused another configuration is not of this one."""
    found = store.storage.read_json(store.ended)
    end = None if found is None else TrainingEnd.model_validate(found)
    return end if end is not None and end.config in (None, config) else None


def _guard_ended(run: RunConfig, store: RunStore) -> bool:
    """Whether a guard has ended the run."""
    text = store.storage.read_text(store.guards_log) or ""
    events = [parse(GuardEvent, line, store.guards_log) for line in text.splitlines()]
    return stopped_by(events, run.guards.max_rollbacks) is not None


def _kept(run: RunConfig, folder: Path) -> Path:
    """A file with the run as it is now: another one may take the place of its own meanwhile."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / RUN
    replace_text(kept, dump_run(run))
    return kept


@contextmanager
def alone_in(folder: Path) -> Generator[None]:
    """Hold the folder; the lock goes with the process, however it ends. Raises BadInput."""
    with hold(
        folder / ".lock",
        lambda process: (
            f"checkpoints are being evaluated in {folder} already (process {process}): "
            "`ttsrl train` does it where eval.during_training is set"
        ),
    ):
        yield
