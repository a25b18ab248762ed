"""The learning rate of a verl worker that has loaded a checkpoint."""

from __future__ import annotations

from typing import Any


def set_rate(worker: Any, rate: float) -> None:
    """Let the worker's schedule, wherever it stands, be that of this learning rate."""
    for part in getattr(worker, "worker_dict", {"": worker}).values():
        if (actor := getattr(part, "actor", None)) is None:
            continue
        scheduler = actor.engine.lr_scheduler
        scheduler.base_lrs = [rate] * len(scheduler.base_lrs)
        now = [rate * share(scheduler.last_epoch) for share in scheduler.lr_lambdas]
        for group, value in zip(scheduler.optimizer.param_groups, now, strict=True):
            group["lr"] = value
