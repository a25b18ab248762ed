"""The names of what verl's ranks save, each for itself, in a checkpoint's folder `actor`."""

from __future__ import annotations

import re

SHARDS = ("model", "optim", "extra_state")
"""What every rank saves."""


def shard_name(kind: str, ranks: int, rank: int) -> str:
    """One of SHARDS, of so many ranks."""
    return f"{kind}_world_size_{ranks}_rank_{rank}.pt"


def ranks_that_saved(path: str) -> int | None:
    """How many ranks a shard of a checkpoint is one of; None for other files."""
    found = re.search(r"_world_size_(\d+)_rank_\d+\.pt$", path)
    return int(found[1]) if found else None
