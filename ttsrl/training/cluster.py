"""Whether a Ray cluster has what a run needs, asked before verl waits for it in silence."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

import ray

from ttsrl.config.schema import RunConfig
from ttsrl.errors import Failure
from ttsrl.runtime.machine import Gpu, gpus
from ttsrl.training.verl_args import cpus_of_machine

CLUSTER_DEADLINE_S = 600.0
"""Longest wait for the machines of a cluster that is starting, or for a former run's end."""
POLL_S = 1.0


def wait_for_cluster(run: RunConfig, device: str) -> None:
    """Return when the machines are there and no other run is on them. Raises Failure."""
    deadline = time.monotonic() + CLUSTER_DEADLINE_S
    while problem := _problem(run, device):
        if time.monotonic() > deadline:
            raise Failure(problem)
        time.sleep(POLL_S)


def gpus_of_machine(run: RunConfig) -> list[Gpu]:
    """The GPUs of one of the cluster's machines; the others are taken to be like it. None where
    slots called GPU are a CPU's."""
    ask: Any = ray.remote(num_cpus=0, num_gpus=run.train.gpus_per_node, max_calls=1)(gpus)
    return ray.get(ask.remote())


def too_small(nodes: Iterable[Mapping[str, Any]], run: RunConfig, device: str) -> str | None:
    """What is wrong with a cluster of these nodes (`ray.nodes()`); None: nothing."""
    gpus, cpus = run.train.gpus_per_node, cpus_of_machine(run, device)
    there = [n["Resources"] for n in nodes if n["Alive"]]
    fit = sum(r.get("GPU", 0) >= gpus and r.get("CPU", 0) >= cpus for r in there)
    if fit >= run.train.nodes:
        return None
    sizes = ", ".join(f"{r.get('GPU', 0):g} GPU {r.get('CPU', 0):g} CPU" for r in there)
    return (
        f"train.nodes = {run.train.nodes} needs as many Ray machines with {gpus} GPU "
        f"(train.gpus_per_node) and {cpus} CPU, and {fit} of this cluster have them ({sizes}); "
        "add workers, or set num-gpus and num-cpus in their rayStartParams: they count slots, "
        "not cores"
    )


def _problem(run: RunConfig, device: str) -> str | None:
    if problem := too_small(ray.nodes(), run, device):
        return problem
    try:
        ray.get_actor("TransferQueueController", namespace="transfer_queue")
    except ValueError:
        return None
    return "another run trains on this Ray cluster; wait for its end, or start a cluster of its own"
