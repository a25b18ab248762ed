"""Checkpoints that are written while training continues.

verl's FSDP engine writes them while the step waits; its `async_save` is Megatron's alone. Here verl
writes only what describes the model, and a thread of each rank the states, as verl gathers them.
Whoever publishes the checkpoint asks each rank whether it has written its part (`written`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import verl.utils.fsdp_utils

from ttsrl.training.environment import run_here
from ttsrl.training.shard_writer import ShardWriter
from ttsrl.training.shards import shard_name

fsdp_utils: Any = verl.utils.fsdp_utils
_units_before = fsdp_utils._select_fsdp2_wrap_targets


@cache
def writer() -> ShardWriter:
    """This process'."""
    return ShardWriter()


def written(_: Any) -> float | None:
    """`ShardWriter.written` of the rank that is asked: verl's workers call it with themselves."""
    return writer().written()


@cache  # a reference policy in this process is sharded, too
def write_beside() -> None:
    """Have this process' checkpoints written so."""
    from verl.utils.checkpoint.fsdp_checkpoint_manager import FSDPCheckpointManager

    manager_of_verl: Any = FSDPCheckpointManager
    save_of_verl: Callable[..., None] = manager_of_verl.save_checkpoint

    def save(manager: Any, local_path: str, *arguments: Any, **named: Any) -> None:
        contents, manager.checkpoint_save_contents = manager.checkpoint_save_contents, []
        try:
            save_of_verl(manager, local_path, *arguments, **named)
        finally:
            manager.checkpoint_save_contents = contents
        ranks, rank = manager.world_size, manager.rank
        states = {shard_name(kind, ranks, rank): s for kind, s in states_of(manager).items()}
        writer().begin(Path(local_path), states)

    manager_of_verl.save_checkpoint = save


def states_of(manager: Any) -> dict[str, Any]:
    """What verl's manager of checkpoints saves of a rank, by kind (`ttsrl.training.shards`)."""
    schedule, model = manager.lr_scheduler, manager.model.state_dict()
    if manager.should_save_lora_only:
        model = {name: weight for name, weight in model.items() if "lora_" in name}
    return {
        "model": model,
        "optim": manager.optimizer.state_dict(),
        "extra_state": {
            "lr_scheduler": None if schedule is None else schedule.state_dict(),
            "rng": manager.get_rng_state(),
        },
    }


def _units(model: Any, layers: list[str]) -> list[Any]:
    """verl asks for them once, in the process that shards the policy."""
    if run_here().train.save_beside:
        write_beside()
    return _units_before(model, layers)


fsdp_utils._select_fsdp2_wrap_targets = _units
