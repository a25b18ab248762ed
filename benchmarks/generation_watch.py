"""What generation_speed.py asks of vLLM's worker: the kernels of some steps."""

from __future__ import annotations

from typing import Any

import torch

LONGEST = 24


class KernelWatch:
    """An extension of vLLM's worker; the engine calls its methods by name, between two steps."""

    def begin_watch(self) -> None:
        """From here on."""
        activities = [torch.profiler.ProfilerActivity.CUDA]
        if not torch.cuda.is_available():
            activities = [torch.profiler.ProfilerActivity.CPU]
        self.watch: Any = torch.profiler.profile(activities=activities)
        self.watch.__enter__()

    def end_watch(self) -> str:
        """Kernels that took longest, and the share of the time in which one ran."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.watch.__exit__(None, None, None)
        kernels = sorted(self.watch.key_averages(), key=lambda k: -k.self_device_time_total)
        spans = [(e.time_range.start, e.time_range.end) for e in self.watch.events()]
        whole = max(end for _, end in spans) - min(start for start, _ in spans) if spans else 0
        busy = sum(k.self_device_time_total for k in kernels)
        lines = [f"  {busy / 1e3:.1f} ms in kernels of {whole / 1e3:.1f} ms"]
        lines += [
            f"    {k.self_device_time_total / 1e3:8.2f} ms {k.count:6d} x {k.key[:90]}"
            for k in kernels[:LONGEST]
        ]
        return "\n".join(lines)
