"""How often a run looks at its checkpoints."""

from __future__ import annotations

import math

from ttsrl.config.schema import RunConfig


def planned_evaluations(run: RunConfig) -> int:
    """How many checkpoints of a run are evaluated in training, or may be after it."""
    during = run.eval.during_training
    span = run.train.save_every * (1 if during is None else during.every)
    return math.ceil(run.train.steps / span)
