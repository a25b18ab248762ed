"""Where a run goes on: the newest complete checkpoint, from the local disk or from storage."""

from __future__ import annotations

import shutil
from pathlib import Path

from jobs.train.publish import LOG_FOLDER, publish_checkpoint
from ttsrl.config import RunConfig
from ttsrl.errors import BadInput
from ttsrl.storage import RunStore

MAY_CHANGE = {
    "storage": True,
    "eval": True,
    "reward": {"url", "sample_deadline_s", "token_file", "batch_size"},
    "train": {"steps", "save_every", "max_checkpoints", "step_deadline_s", "metrics_port"},
}
"""Fields that a resumed run may set anew: they decide no weight of the steps already done."""


def claim_run(run: RunConfig, store: RunStore) -> None:
    """Write the resolved configuration beside what the run publishes, or find it there.

    Raises BadInput where the name belongs to a run of another configuration.
    """
    published = store.storage.read_json(store.run_json)
    if published is None:
        store.storage.write_json(store.run_json, run.model_dump(mode="json"))
        return
    theirs = RunConfig.model_validate(published).model_dump(exclude=MAY_CHANGE)
    ours = run.model_dump(exclude=MAY_CHANGE)
    for section in ours:
        if ours[section] != theirs[section]:
            raise BadInput(
                f"run {run.name!r} in {run.storage} has another {section}: "
                f"{_difference(theirs[section], ours[section])}; give this run another name"
            )


def local_step(checkpoints: Path) -> int:
    """Step of the newest checkpoint that verl finished writing here; 0 when there is none."""
    tracker = checkpoints / "latest_checkpointed_iteration.txt"
    if not tracker.is_file():
        return 0
    step = tracker.read_text().strip()
    return int(step) if step.isdigit() and (checkpoints / f"global_step_{step}").is_dir() else 0


def restore(store: RunStore, checkpoints: Path) -> int:
    """Bring disk and storage to the same newest checkpoint; returns its step, 0 for a new run."""
    here, there = local_step(checkpoints), store.newest_checkpoint() or 0
    if here > there:
        # saved, and the machine died before it was published
        publish_checkpoint(store, here, checkpoints / f"global_step_{here}")
        return here
    if there:
        folder = checkpoints / f"global_step_{there}"
        # also where it is here already: nothing is fetched then, and a damaged one is replaced
        store.storage.pull(store.checkpoint(there), folder, replace=True)
        (checkpoints / "latest_checkpointed_iteration.txt").write_text(str(there))
        for file in (folder / LOG_FOLDER).glob("*.jsonl"):
            if not (checkpoints.parent / file.name).exists():
                shutil.copy(file, checkpoints.parent)
    return there


def forget(checkpoints: Path) -> None:
    """Remove half-written checkpoints: those newer than the newest complete one."""
    newest = local_step(checkpoints)
    for folder in checkpoints.glob("global_step_*"):
        if int(folder.name.removeprefix("global_step_")) > newest:
            shutil.rmtree(folder)


def _difference(theirs: object, ours: object) -> str:
    if isinstance(theirs, dict) and isinstance(ours, dict):
        keys = sorted(k for k in ours if ours[k] != theirs.get(k))
        return ", ".join(f"{k} is {theirs.get(k)!r} there, {ours[k]!r} here" for k in keys)
    return f"{theirs!r} there, {ours!r} here"
