"""Rollouts and updates on GPUs of their own, side by side."""

from __future__ import annotations

from pydantic import Field

from ttsrl.base import Strict
from ttsrl.facts import Adjustable, Fixed


class AsynchronousConfig(Strict):
    """Generate and train at the same time: a step's rollouts are of a policy some updates old.

    `train.rollout_correction` is then token, unless the run says otherwise; see
    docs/asynchronous.md.
    """

    staleness: Fixed[int] = Field(default=1, ge=1)
    """Most updates that the trained policy may be ahead of the one that a rollout was sampled
    from. 1: the rollouts of a step are sampled while the step before is trained."""
    rollout_gpus_per_node: Adjustable[int] = Field(default=1, ge=1)
    """GPUs, out of `train.gpus_per_node`, that generate; the others train. On a CPU they are
    processes."""
