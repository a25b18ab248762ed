"""A run's own folder, set back to an earlier checkpoint."""

from __future__ import annotations

import shutil
from pathlib import Path

from ttsrl.training.checkpoints import local_step
from ttsrl.training.machines import TRACKER

LOGS = ("steps", "rollouts", "timeline")


def keep_log(train_dir: Path, rollback: int) -> None:
    """Copy the log as it is: the steps that are given up leave it."""
    for name in LOGS:
        if (file := train_dir / f"{name}.jsonl").exists():
            shutil.copy(file, train_dir / f"{name}.before_rollback_{rollback}.jsonl")


def set_back(checkpoints: Path, step: int) -> None:
    """Forget the checkpoints after a step on this machine; the others follow when they restore."""
    if local_step(checkpoints) <= step:
        return
    if (checkpoints / f"global_step_{step}").is_dir():
        (checkpoints / TRACKER).write_text(str(step))
    else:
        (checkpoints / TRACKER).unlink(missing_ok=True)
