"""Evaluation of checkpoints while training continues."""

from __future__ import annotations

from pydantic import Field

from ttsrl.base import Strict

SUFFIX = ".during"
"""What follows the suite's name below `eval/`, so that these evaluations of fewer texts never take
the place of the whole suite's. No suite's own name has a dot."""


class DuringTrainingConfig(Strict):
    """Speak and judge published checkpoints beside training, which never waits for it."""

    every: int = Field(default=1, ge=1)
    """Checkpoints from one evaluation to the next; the last of the run is always evaluated."""
    texts: int = Field(default=64, ge=1)
    """The first so many of the suite's texts, the same ones each time."""
    suite: str = "held_out"
    """held_out, or one of `eval.suites`."""
    judges: list[str] = []
    """Names of the suite's judges that listen; empty: all that gave no reward."""
    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda:\d+)$")
    """Where it computes: cpu, or a GPU that training leaves free, such as cuda:1. auto: such a GPU
    where there is one, else the CPU. In a cluster the GPU of its pod."""

    @property
    def folder(self) -> str:
        """Its name below `eval/`."""
        return f"{self.suite}{SUFFIX}"
