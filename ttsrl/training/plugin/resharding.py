"""A checkpoint that so many ranks saved, loaded by another number of them.

verl reads files of its own number of ranks only. Where there are others, each rank joins theirs,
tensor by tensor, keeps its part, and writes it as verl's file; verl then loads as ever. Random
states are those of the ranks that saved, taken in turn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import verl.utils.fsdp_utils
from torch import Tensor
from torch.distributed.tensor import DTensor, Shard, distribute_tensor

from ttsrl.storage.atomic import replace_file
from ttsrl.training.shards import ranks_that_saved, shard_name

fsdp_utils: Any = verl.utils.fsdp_utils
_units_before = fsdp_utils._select_fsdp2_wrap_targets


def ranks_of(folder: Path) -> int | None:
    """How many ranks saved what lies in this folder; None where no number of them is whole."""
    names = {path.name for path in folder.glob("model_*.pt")}
    counts = {n for name in names if (n := ranks_that_saved(name))}
    whole = [n for n in counts if all(shard_name("model", n, r) in names for r in range(n))]
    return max(whole, default=None)


def let_any_ranks_load() -> None:
    """Of this process' checkpoints."""
    from verl.utils.checkpoint.fsdp_checkpoint_manager import FSDPCheckpointManager

    manager_of_verl: Any = FSDPCheckpointManager
    load_of_verl: Callable[..., None] = manager_of_verl.load_checkpoint

    def load(manager: Any, local_path: str | None, *arguments: Any, **named: Any) -> None:
        made = [] if local_path is None else prepare(manager, Path(local_path))
        try:
            load_of_verl(manager, local_path, *arguments, **named)
        finally:
            for path in made:
                path.unlink(missing_ok=True)

    manager_of_verl.load_checkpoint = load


def prepare(manager: Any, folder: Path) -> list[Path]:
    """Make what verl's loading of this rank needs and is not there; returns the files made."""
    if (folder / shard_name("model", manager.world_size, manager.rank)).exists():
        return []
    saved = ranks_of(folder)
    if saved is None:
        raise FileNotFoundError(f"no whole checkpoint of the policy in {folder}")
    return reshard(manager, folder, saved)


def reshard(manager: Any, folder: Path, saved: int) -> list[Path]:
    """Write this rank's files from those of `saved` ranks; returns the files."""

    def shards(kind: str) -> list[Any]:
        return [_read(folder / shard_name(kind, saved, rank)) for rank in range(saved)]

    own = dict(manager.model.state_dict())
    files = {"model": {k: _part(v, own[k]) for k, v in _by_key(shards("model"))}}
    if manager.should_load_optimizer:
        optim = shards("optim")
        parameters = [p for g in manager.optimizer.param_groups for p in g["params"]]
        state = {
            number: {key: _part(v, parameters[number]) for key, v in _by_key(entries)}
            for number, entries in _by_key([shard["state"] for shard in optim])
        }
        files["optim"] = optim[0] | {"state": state}
    if manager.should_load_extra:
        files["extra_state"] = _read(
            folder / shard_name("extra_state", saved, manager.rank % saved)
        )
    made = [folder / shard_name(kind, manager.world_size, manager.rank) for kind in files]
    for path, content in zip(made, files.values(), strict=True):
        with replace_file(path) as temporary:  # a rank that is killed leaves no half of one
            torch.save(content, temporary)
    return made


def _read(path: Path) -> Any:
    return torch.load(path, map_location="cpu", mmap=True, weights_only=False)


def _by_key(shards: Sequence[dict[Any, Any]]) -> list[tuple[Any, list[Any]]]:
    return [(key, [shard[key] for shard in shards]) for key in shards[0]]


def _part(shards: list[Any], like: Any) -> Any:
    """Of a value that every saving rank had a part of, the part that lies as `like` does."""
    first = shards[0]
    if not isinstance(first, DTensor):
        return first
    whole = _joined(shards)
    if not isinstance(like, DTensor):
        return whole
    mesh = like.device_mesh
    return distribute_tensor(whole.to(mesh.device_type), mesh, like.placements, src_data_rank=None)


def _joined(shards: Sequence[DTensor]) -> Tensor:
    *outer, last = shards[0].placements
    if any(isinstance(placement, Shard) for placement in outer) or not isinstance(last, Shard):
        raise ValueError(f"a tensor of the checkpoint is spread by {shards[0].placements}")
    parts = [shard.to_local() for shard in shards[: shards[0].device_mesh.size(-1)]]
    whole = torch.cat(parts, last.dim)
    if whole.shape != shards[0].shape:
        raise ValueError(f"parts of shape {tuple(whole.shape)} are not {tuple(shards[0].shape)}")
    return whole


def _units(model: Any, layers: list[str]) -> list[Any]:
    """verl asks for them once, in the process that shards the policy."""
    let_any_ranks_load()
    return _units_before(model, layers)


fsdp_utils._select_fsdp2_wrap_targets = _units
