"""Which checkpoints of a run are evaluated, and which of them are left: storage tells."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from ttsrl.config.during_training import DuringTrainingConfig
from ttsrl.config.schema import RunConfig
from ttsrl.errors import BadInput
from ttsrl.storage.run_store import RunStore

BASE = 0
"""Step of the policy that the run starts from: every checkpoint is compared with it."""


def during_of(run: RunConfig) -> DuringTrainingConfig:
    """The run's `eval.during_training`. Raises BadInput where it has none."""
    if run.eval.during_training is None:
        raise BadInput(
            f"run {run.name!r} does not evaluate its checkpoints during training; say so in it: "
            '--set eval.during_training.every=1, or "during_training": {"every": 1} under "eval"'
        )
    return run.eval.during_training


class Plan:
    """The evaluations of a run's checkpoints, as they are in storage now."""

    def __init__(self, run: RunConfig, store: RunStore) -> None:
        self.run = run
        self.store = store
        self.during = during_of(run)

    def key(self, step: int) -> str:
        """Prefix of the evaluation of a step."""
        return self.store.eval(self.during.folder, step)

    def evaluated(self) -> list[int]:
        """Steps that are done, ascending."""
        return self.store.list_evaluated(self.during.folder)

    def left(self, skipped: Collection[int], *, has_ended: bool) -> list[int]:
        """Steps to evaluate, in this order: the base, then the newest checkpoint first, so that a
        slow evaluation tells of the policy as it is and fills the gaps when training is over.

        Once training has ended its newest checkpoint is one of them, whatever its step. What a
        rollback gives up that has begun and still removes is not.
        """
        done = {*self.evaluated(), *skipped}
        now = self.store.set_backs()
        published = [s for s in self.store.list_checkpoints() if not now.gave_up(s, now.done)]
        due = {step for step in published if self._is_due(step)}
        if has_ended:
            due |= set(published[-1:])
        return [BASE] * (BASE not in done) + sorted(due - done, reverse=True)

    def _is_due(self, step: int) -> bool:
        train, every = self.run.train, self.during.every
        return every == 1 or step == train.steps or step % (every * train.save_every) == 0


def local(folder: Path, step: int) -> Path:
    """Where the evaluation of a step lies on this machine."""
    return folder / f"step_{step:06d}"
