"""What the stages of the voice's training share: device, schedule, a log, waiting for files."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import torch
from torch import Tensor, nn

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
WAIT_S = 0.5
WARM_UP = 100
LAST_RATE = 0.02
"""Share of the learning rate at the end of its half cosine."""


def prepare_device() -> None:
    """Settings for short trainings of small networks on a GPU."""
    # cuDNN's attention makes a new plan for each shape, which takes longer than a training step.
    torch.backends.cuda.enable_cudnn_sdp(False)
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True
    torch.manual_seed(0)


def autocast() -> AbstractContextManager[object]:
    """bfloat16 where it saves time."""
    return torch.autocast(DEVICE, torch.bfloat16, enabled=DEVICE == "cuda")


class Budget:
    """A training's length: so many steps, or fewer where the seconds end first.

    The clock starts with the first step: reading the data may take as long as a short training.
    """

    def __init__(self, name: str, steps: int, seconds: float) -> None:
        self.name, self.steps, self.seconds = name, steps, seconds
        self.done, self.start, self._told = 0, math.inf, math.inf

    @property
    def elapsed_s(self) -> float:
        return max(0.0, time.monotonic() - self.start)

    @property
    def share(self) -> float:
        """How much of it is over, 0 to 1."""
        return min(1.0, max(self.done / self.steps, self.elapsed_s / self.seconds))

    def run(self, optimizers: Iterable[torch.optim.Optimizer], rate: float) -> Iterator[int]:
        """Step numbers; sets the learning rate of each: warm-up, then a half cosine."""
        self.start = self._told = time.monotonic()
        while self.share < 1:
            cosine = 0.5 * (1 + math.cos(math.pi * self.share))
            warm = min(1.0, (self.done + 1) / WARM_UP)
            for optimizer in optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = rate * warm * ((1 - LAST_RATE) * cosine + LAST_RATE)
            yield self.done
            self.done += 1
        self.tell("done")

    def due(self, every_s: float = 15.0) -> bool:
        """Whether it is time for a line of the log."""
        if time.monotonic() - self._told < every_s:
            return False
        self._told = time.monotonic()
        return True

    def tell(self, *what: object) -> None:
        """Print a line: stage, step, seconds."""
        print(f"{self.name}  step {self.done}  {self.elapsed_s:.0f} s ", *what, flush=True)


def descend(
    optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter], loss: Tensor, clip: float
) -> None:
    """One update."""
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(parameters, clip)
    optimizer.step()


def adamw(
    parameters: object, rate: float, beta1: float, beta2: float, decay: float
) -> torch.optim.AdamW:
    """The optimiser, fused where a GPU is."""
    return torch.optim.AdamW(
        parameters,  # pyright: ignore[reportArgumentType]
        rate,
        betas=(beta1, beta2),
        weight_decay=decay,
        fused=DEVICE == "cuda",
    )


def wait_for(
    folder: Path, pattern: str, count: int = 1, ended: Path | None = None, seconds: float = 1_800.0
) -> list[Path]:
    """So many files, in order; fewer, at least one, once the file `ended` is there.

    Raises SystemExit where they do not come.
    """
    start = time.monotonic()
    while True:
        over = ended is not None and ended.exists()  # before the look: none comes after it
        found = sorted(folder.glob(pattern))
        if len(found) >= count or (found and over):
            return found
        if over or time.monotonic() - start > seconds:
            raise SystemExit(f"{folder} has {len(found)} of {count} {pattern}, and no more come")
        time.sleep(WAIT_S)
