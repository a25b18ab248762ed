"""A run's checkpoints, spread over its machines: published whole, brought back from storage."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from ttsrl.storage.errors import StorageError
from ttsrl.storage.local import Part
from ttsrl.storage.run_store import RunStore
from ttsrl.training.machines import TRACKER, Disk, TrainingMachine, everywhere
from ttsrl.training.shards import SHARDS, ranks_that_saved, shard_name

LOG_FOLDER = "log"
"""Where a checkpoint keeps the step log up to its step, so that a new machine has the history."""
REWARD_FILE = "reward.json"
"""What the rewards of the steps up to a checkpoint measured."""


def local_step(checkpoints: Path) -> int:
    """Step of the newest checkpoint that every rank finished saving, as the trainer's machine
    knows it; 0 when there is none."""
    tracker = checkpoints / TRACKER
    if not tracker.is_file():
        return 0
    step = tracker.read_text().strip()
    return int(step) if step.isdigit() and (checkpoints / f"global_step_{step}").is_dir() else 0


def scan(machines: Sequence[TrainingMachine], step: int) -> list[Part]:
    """What every machine holds of a checkpoint."""
    return everywhere(machines, lambda _, machine: machine.disk.call(Disk.scan, step))


def keep(machines: Sequence[TrainingMachine], newest: int, count: int) -> None:
    """On every machine: remove checkpoints after `newest`, and all but the newest `count`."""
    everywhere(machines, lambda _, machine: machine.disk.call(Disk.keep, newest, count))


def publish_checkpoint(
    store: RunStore, machines: Sequence[TrainingMachine], step: int, parts: Sequence[Part]
) -> int:
    """Upload what every machine holds of a checkpoint, then let `latest.json` point to it.

    Returns its size in bytes. StorageError if a part is missing: then nothing is published.
    """
    if absent := missing(parts):
        raise StorageError(f"no machine holds {absent[0]} of the checkpoint of step {step}")

    def upload(claim: str) -> None:
        everywhere(
            machines,
            lambda i, machine: machine.disk.call(Disk.upload, step, parts[i], claim),
        )

    store.storage.publish_parts(store.checkpoint(step), parts, upload)
    store.write_latest(step)
    return sum(file.entry.size for part in parts for file in part.values())


def missing(parts: Iterable[Part]) -> list[str]:
    """Files of a whole checkpoint that are in none of the parts."""
    paths = {path for part in parts for path in part}
    ranks = max((n for path in paths if (n := ranks_that_saved(path))), default=1)
    shards = [f"actor/{shard_name(kind, ranks, rank)}" for rank in range(ranks) for kind in SHARDS]
    return [path for path in ("data.pt", "actor/fsdp_config.json", *shards) if path not in paths]


def restore(
    store: RunStore,
    machines: Sequence[TrainingMachine],
    checkpoints: Path,
    publish_base: Callable[[], None] = lambda: None,
) -> int:
    """Bring all disks and storage to the same newest checkpoint; its step, 0 for a new run.

    `checkpoints` is the folder on the trainer's machine, which this process runs on.
    `publish_base` is called before a checkpoint is published.
    """
    checkpoints.mkdir(parents=True, exist_ok=True)
    here, there = local_step(checkpoints), store.newest_checkpoint() or 0
    keep(machines, max(here, there), 1)  # half-written ones are newer
    if here > there:
        # saved, and the run died before it was published
        parts = scan(machines, here)
        if missing(parts):  # and a machine that is gone has taken its part with it
            keep(machines, there, 1)
        else:
            publish_base()
            publish_checkpoint(store, machines, here, parts)
            there = here
    if not there:
        (checkpoints / TRACKER).unlink(missing_ok=True)
        return 0
    # also where it is here already: nothing is fetched then, and a damaged one is replaced
    ranks = sum(len(machine.ranks) for machine in machines)
    everywhere(
        machines,
        lambda _, m: m.disk.call(Disk.pull, there, m.ranks, m.runs_trainer, ranks),
    )
    (checkpoints / TRACKER).write_text(str(there))
    for file in (checkpoints / f"global_step_{there}" / LOG_FOLDER).glob("*.jsonl"):
        if not (checkpoints.parent / file.name).exists():
            shutil.copy(file, checkpoints.parent)
    return there
