"""Evaluations of checkpoints that a rollback has given up: never those of the run as it is now.

A follower that is killed between its publishing and its look at the rollbacks leaves one behind:
its report tells, and the next start removes it.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from ttsrl.evaluation.during.plan import BASE, Plan
from ttsrl.evaluation.given_up import is_given_up
from ttsrl.records.evaluation import REPORT, EvaluationReport
from ttsrl.records.guard import SetBacks
from ttsrl.records.record import parse


def forget_given_up(plan: Plan, folder: Path, set_backs: SetBacks) -> None:
    """Remove them from storage and from a folder of this machine. Raises BadInput, StorageError."""
    storage = plan.store.storage
    for step in plan.evaluated():
        key = f"{plan.key(step)}/{REPORT}"
        text = storage.read_text(key) if step != BASE else None
        if text is None:
            continue
        report = parse(EvaluationReport, text, storage.address(key))
        if set_backs.gave_up(step, report.rollbacks):
            storage.remove(plan.key(step))
    for out in folder.glob("step_*"):
        if is_given_up(out, set_backs):
            shutil.rmtree(out)
