"""Training by preferences instead of by rollouts."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ttsrl.base import Strict
from ttsrl.facts import DataPath


class DpoConfig(Strict):
    """Direct preference optimisation (arXiv 2305.18290) on pairs of utterances of one text.

    `train.steps` updates of `train.prompts_per_step` pairs each are made, and nothing is generated
    or scored. Of `train` the learning rate, its schedule, Adam's betas, `weight_decay`,
    `gradient_clip`, `device`, `save_every` and `max_checkpoints` hold; the rest is of rollouts.
    """

    pairs: Annotated[str, DataPath()]
    """JSON lines, as a run with `train.keep_pairs` or `ttsrl prefer pairs` writes them."""
    beta: float = Field(default=0.1, gt=0)
    """How near the policy stays to the one at the start: larger is nearer."""
    least_difference: float = Field(default=0.0, ge=0, lt=1)
    """Pairs whose rewards differ by less than this are left out."""
