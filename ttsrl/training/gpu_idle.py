"""How much of its time a GPU is idle, from samples of NVIDIA's management library.

A sample is the share of the last moment (a sixth of a second to one second, by the GPU) in which a
kernel ran, as `nvidia-smi` shows it: a GPU that computes little at once counts as busy. Where the
library cannot tell, as of a part of a GPU (MIG), there is no figure.
"""

from __future__ import annotations

import os
import platform
import threading
from collections.abc import Sequence
from typing import Any

import pynvml
import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

EVERY_S = 0.25
"""Between two samples."""
ANSWER_S = 5.0


class GpuWatch:
    """Samples some GPUs of this machine in a thread."""

    def __init__(self, visible: Sequence[str], prefix: str = "") -> None:
        """`visible`: numbers, or how UUIDs begin; `prefix` stands before a GPU's number."""
        self._handles = _handles_of(visible)
        self._prefix = prefix
        self._busy: dict[int, list[float]] = {number: [] for number in self._handles}
        self._lock = threading.Lock()
        if self._handles:
            threading.Thread(target=self._run, name="gpu-watch", daemon=True).start()

    def take(self) -> dict[str, float]:
        """GPU -> share of the time since the last call in which it was idle."""
        with self._lock:
            taken = {
                f"{self._prefix}{number}": 1 - sum(busy) / len(busy)
                for number, busy in self._busy.items()
                if busy
            }
            for busy in self._busy.values():
                busy.clear()
        return taken

    def _run(self) -> None:
        pause = threading.Event()
        while not pause.wait(EVERY_S):
            for number, handle in self._handles.items():
                try:
                    rates: Any = pynvml.nvmlDeviceGetUtilizationRates(handle)
                except pynvml.NVMLError:
                    continue
                with self._lock:
                    self._busy[number].append(rates.gpu / 100)


class GpusOfRun:
    """The GPUs that verl's workers are on, whichever machines those are."""

    def __init__(self, workers: Sequence[Any]) -> None:
        """`workers` are Ray actors; of none, nothing is asked."""
        asked = [worker.__ray_call__.remote(_place) for worker in workers]
        # `ray.get` starts a Ray of its own where none runs, also for nothing
        places: list[tuple[str, str, str]] = ray.get(asked) if asked else []
        by_node: dict[str, tuple[str, set[str]]] = {}
        for node, host, visible in places:
            _, gpus = by_node.setdefault(node, (host, set()))
            gpus.update(name.strip() for name in visible.split(",") if name.strip())
        self._watches: list[Any] = []
        for node, (host, gpus) in by_node.items():
            place = NodeAffinitySchedulingStrategy(node, soft=False)
            watch: Any = ray.remote(GpuWatch).options(num_cpus=0, scheduling_strategy=place)
            self._watches.append(watch.remote(sorted(gpus), f"{host}:" if len(by_node) > 1 else ""))

    def take(self) -> dict[str, float]:
        """GPU -> idle share since the last call; a machine that does not answer is left out."""
        found: dict[str, float] = {}
        for watch in self._watches:
            try:
                found |= ray.get(watch.take.remote(), timeout=ANSWER_S)
            except RayError:
                continue
        return found


def _place(_: Any) -> tuple[str, str, str]:
    """(node, host name, GPUs) of a worker."""
    node = ray.get_runtime_context().get_node_id()
    return node, platform.node(), os.environ.get("CUDA_VISIBLE_DEVICES", "")


def _handles_of(visible: Sequence[str]) -> dict[int, Any]:
    """Number -> handle; none where there is no driver."""
    try:
        pynvml.nvmlInit()
        handles = {
            number: pynvml.nvmlDeviceGetHandleByIndex(number)
            for number in range(pynvml.nvmlDeviceGetCount())
        }
        uuids = {number: pynvml.nvmlDeviceGetUUID(handle) for number, handle in handles.items()}
    except pynvml.NVMLError:
        return {}
    return {
        number: handle
        for number, handle in handles.items()
        if any(str(number) == name or uuids[number].startswith(name) for name in visible)
    }
