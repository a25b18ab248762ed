"""A network that is always called with one of a few shapes, as one CUDA graph for each of them.

CosyVoice2's flow takes 1 800 kernels per step, most of them shorter than their launch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Network = Callable[..., Tensor]


@dataclass(frozen=True)
class _Captured:
    graph: torch.cuda.CUDAGraph
    inputs: dict[str, Tensor]
    output: Tensor


class Graphs:
    """`network`, captured when a length of its input `x` [.., T] first comes; for one thread."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self._captured: dict[int, _Captured] = {}
        self._pool: Any = None

    def __call__(self, **inputs: Tensor) -> Tensor:
        length = inputs["x"].shape[-1]
        if length not in self._captured:
            self._captured[length] = self._capture(inputs)
        captured = self._captured[length]
        for name, given in inputs.items():
            captured.inputs[name].copy_(given)
        captured.graph.replay()
        # the graphs share their memory: the next one overwrites it
        return captured.output.clone()

    def _capture(self, inputs: dict[str, Tensor]) -> _Captured:
        static = {name: given.clone() for name, given in inputs.items()}
        # what autocast keeps of weights from outside would be gone when the graph is replayed
        bfloat16 = torch.is_autocast_enabled("cuda")
        with torch.autocast("cuda", torch.bfloat16, enabled=bfloat16, cache_enabled=False):
            beside = torch.cuda.Stream()
            beside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(beside):
                self.network(**static)  # libraries set themselves up at their first call
            torch.cuda.current_stream().wait_stream(beside)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
                output = self.network(**static)
        self._pool = self._pool or graph.pool()
        return _Captured(graph, static, output)
