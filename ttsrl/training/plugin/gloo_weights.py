"""New weights to rollout engines in processes of their own, over Gloo: for the torch engine.

verl's engine for NCCL needs GPUs on both sides. Actor rank 0 sends; the other ranks only help to
gather each weight. A group lives for one hand-over, so that an engine may come or go.
"""

from __future__ import annotations

import pickle
from collections.abc import AsyncIterator, Iterable
from datetime import timedelta
from typing import Any, cast

import ray
import torch
import torch.distributed as dist
from torch.distributed import TCPStore  # pyright: ignore[reportPrivateImportUsage]
from verl.checkpoint_engine.base import CheckpointEngine, CheckpointEngineRegistry

from ttsrl.training.verl_args import GLOO

DEADLINE = timedelta(minutes=10)
"""For a process that has not arrived, or has gone."""

Address = tuple[str, int]


class GlooWeights(CheckpointEngine):
    """See verl's CheckpointEngine."""

    def __init__(self, bucket_size: int, is_master: bool = False) -> None:
        del bucket_size  # one weight at a time
        self.is_master = is_master
        self.store: Any = None
        self.group: Any = None

    def prepare(self) -> Any:
        """Where the sender is; None of every other process."""
        if not self.is_master:
            return None
        host = ray.util.get_node_ip_address().strip("[]")
        self.store = TCPStore(host, 0, is_master=True, wait_for_workers=False, timeout=DEADLINE)
        return host, self.store.port

    @classmethod
    def build_topology(  # pyright: ignore[reportIncompatibleMethodOverride]
        cls, actor_wg_world_size: int, rollout_world_size: int, metadata: list[Address | None]
    ) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
        """Ranks in the group: 0 sends, those after it receive, -1 is not in it."""
        address, size = metadata[0], rollout_world_size + 1
        actors = [0] + [-1] * (actor_wg_world_size - 1)
        return _each(actors, size, address), _each([*range(1, size)], size, address)

    def init_process_group(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, rank: int, world_size: int, address: Address
    ) -> None:
        """Returns when all are there."""
        if rank < 0:
            return
        store = self.store or TCPStore(*address, is_master=False, timeout=DEADLINE)
        self.store = store
        self.group = dist.ProcessGroupGloo(store, rank, world_size, DEADLINE)

    def finalize(self) -> None:
        """The group ends with the hand-over."""
        self.group = self.store = None

    async def send_weights(
        self, weights: Iterable[tuple[str, torch.Tensor]], global_steps: int | None = None
    ) -> dict[str, float]:
        """Every rank has to walk through the weights: that gathers them."""
        sent = 0
        for name, weight in weights:
            if self.group is not None:
                self.store.set(_key(sent), pickle.dumps((name, weight.shape, weight.dtype)))
                self._broadcast(weight.detach().to("cpu").contiguous())
                sent += 1
        if self.group is not None:
            self.store.set(_key(sent), pickle.dumps(None))
        return {}

    async def receive_weights(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, global_steps: int | None = None
    ) -> AsyncIterator[tuple[str, torch.Tensor]]:
        """In the order in which they are sent."""
        received = 0
        while (told := pickle.loads(self.store.get(_key(received)))) is not None:
            name, shape, dtype = told
            weight = torch.empty(shape, dtype=dtype)
            self._broadcast(weight)
            yield name, weight
            received += 1

    def _broadcast(self, weight: torch.Tensor) -> None:
        """As bytes: Gloo does not know every type."""
        options = dist.BroadcastOptions()
        options.rootRank = 0
        self.group.broadcast([weight.view(-1).view(torch.uint8)], options).wait()


def _each(ranks: list[int], size: int, address: Address | None) -> dict[str, list[Any]]:
    """`init_process_group`'s arguments for the processes of one side."""
    count = len(ranks)
    return {"rank": ranks, "world_size": [size] * count, "address": [address] * count}


def _key(number: int) -> str:
    return f"weight-{number}"


cast(Any, CheckpointEngineRegistry).register(GLOO)(GlooWeights)
