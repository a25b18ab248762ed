"""best.json: the model of a run to use, and why."""

from __future__ import annotations

from ttsrl.records.record import Record

BEST = "best.json"
"""In a run's storage, and in the folder of whoever chose it."""


class BestModel(Record):
    """Points to a published model."""

    step: int
    model: str
    """Its key in storage."""
    suite: str = ""
    """Name, below `eval/`, of the evaluations by which models were compared."""
    judge: dict[str, str]
    """Its name, and its kinship to the reward."""
    scores: dict[str, float | None]
    """`cer`, and by how much it differs from the policy before training."""
    left_out: dict[str, list[str]] = {}
    """Step of a model that was not to be chosen -> guards that were broken there."""
    why: str = ""
    """What makes it the best, in one sentence."""
