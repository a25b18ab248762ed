"""What every training of the tiny stack shares: one learning-rate schedule, one way to log."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import torch
from torch import Tensor, nn


class Training:
    """AdamW with warm-up and a half cosine to 2 % of the rate; prints a line now and then."""

    def __init__(
        self, name: str, parameters: list[nn.Parameter], steps: int, rate: float, decay: float
    ) -> None:
        self.name, self.parameters, self.n_steps, self.rate = name, parameters, steps, rate
        self.optimizer = torch.optim.AdamW(parameters, rate, betas=(0.9, 0.98), weight_decay=decay)
        self.means: dict[str, float] = {}

    def steps(self, every: int = 50) -> Iterator[int]:
        """Step numbers; sets the rate before each, logs after every `every`th."""
        start = time.monotonic()
        for step in range(self.n_steps):
            warm = min(1.0, (step + 1) / 50)
            cosine = 0.5 * (1 + math.cos(math.pi * step / self.n_steps))
            for group in self.optimizer.param_groups:
                group["lr"] = self.rate * warm * (0.98 * cosine + 0.02)
            yield step
            if (step + 1) % every == 0:
                losses = "  ".join(f"{k} {v:.4f}" for k, v in self.means.items())
                seconds = time.monotonic() - start
                print(f"{self.name}  step {step + 1:5d}  {seconds:5.0f} s  {losses}", flush=True)

    def descend(self, **losses: Tensor) -> None:
        """One update along the sum of the losses."""
        total = torch.stack(list(losses.values())).sum()
        self.optimizer.zero_grad()
        total.backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        for name, loss in losses.items():
            old = self.means.get(name, loss.item())
            self.means[name] = 0.95 * old + 0.05 * loss.item()
