"""The machines of a run and the checkpoint files on their disks; nothing of them is shared.

Every rank writes and reads its shards on its own machine, the trainer its state on its own. A
machine's files are handled there: directly on the trainer's, by a Ray actor on each other one.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar
from uuid import uuid4

import ray
from ray.exceptions import RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ttsrl.storage.local import Part
from ttsrl.storage.run_store import RunStore
from ttsrl.training.shards import ranks_that_saved

TRACKER = "latest_checkpointed_iteration.txt"
"""verl writes it on the trainer's machine when every rank has saved."""

MARK = ".machine-"

P = ParamSpec("P")
R = TypeVar("R")


class Disk:
    """The checkpoints on one machine, in folders `global_step_N`."""

    def __init__(self, storage: str, run_name: str, checkpoints: Path) -> None:
        self.checkpoints = checkpoints
        self.store = RunStore(storage, run_name)

    def mark(self, name: str) -> None:
        """Leave a mark that whoever shares this disk can see."""
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        (self.checkpoints / f"{MARK}{name}").touch()

    def marks(self) -> frozenset[str]:
        """The marks on this disk."""
        return frozenset(path.name for path in self.checkpoints.glob(f"{MARK}*"))

    def unmark(self, name: str) -> None:
        """Remove a mark again."""
        (self.checkpoints / f"{MARK}{name}").unlink(missing_ok=True)

    def scan(self, step: int) -> Part:
        """Hash what is here of a checkpoint."""
        return self.store.storage.scan(self._folder(step))

    def upload(self, step: int, part: Part, claim: str) -> None:
        """Upload what is here of a checkpoint that is being published."""
        self.store.storage.upload_part(self.store.checkpoint(step), part, claim)

    def pull(self, step: int, ranks: frozenset[int], runs_trainer: bool, of_all: int) -> None:
        """Bring what this machine needs of a published checkpoint; what is here already stays.

        All shards, where another number of ranks than the run has now saved them.
        """
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        self.store.storage.pull(
            self.store.checkpoint(step),
            self._folder(step),
            replace=True,
            wanted=lambda path: (
                belongs(path, ranks, runs_trainer) or ranks_that_saved(path) not in (None, of_all)
            ),
        )

    def keep(self, newest: int, count: int) -> None:
        """Remove checkpoints: all after `newest`, and of the others all but the newest `count`."""
        steps = sorted(self._steps(), reverse=True)
        kept = [step for step in steps if step <= newest][:count]
        for step in steps:
            if step not in kept:
                shutil.rmtree(self._folder(step))

    def _folder(self, step: int) -> Path:
        return self.checkpoints / f"global_step_{step}"

    def _steps(self) -> list[int]:
        names = (path.name for path in self.checkpoints.glob("global_step_*"))
        return [int(m[1]) for name in names if (m := re.fullmatch(r"global_step_(\d+)", name))]


class DiskHandle(Protocol):
    """Calls methods of a machine's Disk, wherever that is."""

    def call(
        self, method: Callable[Concatenate[Disk, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """`call(Disk.keep, 3, 2)`: returns or raises what the method does."""
        ...


@dataclass(frozen=True)
class LocalDisk:
    """The disk of this process' machine."""

    disk: Disk

    def call(
        self, method: Callable[Concatenate[Disk, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        return method(self.disk, *args, **kwargs)


@dataclass(frozen=True)
class RemoteDisk:
    """The disk of another machine, behind a Ray actor there."""

    actor: Any

    def call(
        self, method: Callable[Concatenate[Disk, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        try:
            return ray.get(self.actor.__ray_call__.remote(method, *args, **kwargs))
        except RayTaskError as error:
            raise error.cause from None  # Ray's own text is a traceback


@dataclass(frozen=True)
class TrainingMachine:
    """A machine: its disk, and which ranks it runs."""

    disk: DiskHandle
    ranks: frozenset[int]
    runs_trainer: bool


def belongs(path: str, ranks: frozenset[int], runs_trainer: bool) -> bool:
    """Whether a machine writes and reads this file of a checkpoint: shards are of the rank in their
    name, what describes the model is of rank 0, the rest (data position, log) of the trainer."""
    if not path.startswith("actor/"):
        return runs_trainer
    rank = re.search(r"_rank_(\d+)\.pt$", path)
    return (int(rank[1]) if rank else 0) in ranks


def everywhere(
    machines: Sequence[TrainingMachine], action: Callable[[int, TrainingMachine], R]
) -> list[R]:
    """Run `action(index, machine)` for all machines at once; results in order."""
    with ThreadPoolExecutor(len(machines)) as threads:
        return list(threads.map(action, range(len(machines)), machines))


def here(disk: Disk, ranks: Iterable[int] = (0,), *, runs_trainer: bool = True) -> TrainingMachine:
    """The machine of this process."""
    return TrainingMachine(LocalDisk(disk), frozenset(ranks), runs_trainer)


def machines_of(
    workers: Sequence[Any], storage: str, run_name: str, checkpoints: Path
) -> list[TrainingMachine]:
    """Ours, and those on which verl's workers (actors, by rank) run."""
    nodes: list[str] = ray.get([worker.__ray_call__.remote(_node_id) for worker in workers])
    ours = ray.get_runtime_context().get_node_id()
    own_ranks = [rank for rank, node in enumerate(nodes) if node == ours]
    machines = [here(Disk(storage, run_name, checkpoints), own_ranks)]
    for other in sorted(set(nodes) - {ours}):
        place = NodeAffinitySchedulingStrategy(other, soft=False)
        remote_disk: Any = ray.remote(Disk).options(num_cpus=0, scheduling_strategy=place)
        actor = remote_disk.remote(storage, run_name, checkpoints)
        ranks = frozenset(rank for rank, node in enumerate(nodes) if node == other)
        machines.append(TrainingMachine(RemoteDisk(actor), ranks, False))
    return by_disk(machines)


def by_disk(machines: Sequence[TrainingMachine]) -> list[TrainingMachine]:
    """The machines, those that share a file system taken for one: its files are handled once."""
    names = [uuid4().hex for _ in machines]
    everywhere(machines, lambda i, machine: machine.disk.call(Disk.mark, names[i]))
    seen = everywhere(machines, lambda _, machine: machine.disk.call(Disk.marks))
    everywhere(machines, lambda i, machine: machine.disk.call(Disk.unmark, names[i]))
    disks: dict[frozenset[str], TrainingMachine] = {}
    for machine, marks in zip(machines, seen, strict=True):
        first = disks.setdefault(marks, machine)
        runs_trainer = first.runs_trainer or machine.runs_trainer
        disks[marks] = TrainingMachine(first.disk, first.ranks | machine.ranks, runs_trainer)
    return list(disks.values())


def _node_id(_: Any) -> str:
    return ray.get_runtime_context().get_node_id()
