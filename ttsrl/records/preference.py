"""Pairs of utterances of one text, of which one is better."""

from __future__ import annotations

from ttsrl.records.record import Record

PAIRS = "pairs.jsonl"
"""Beside the step log."""


class PreferencePair(Record):
    """A line of pairs.jsonl: the best and the worst rollout of a group, or two clips of which
    listeners preferred one."""

    step: int
    """Of the run that made it; its policy at that step has said both. 0: listeners chose."""
    text: str
    prompt_ids: list[int]
    """The prompt, a speech prefix included, as token ids of the policy."""
    chosen_ids: list[int]
    """The better response, its end token included."""
    rejected_ids: list[int]
    chosen_reward: float
    """The reward, or the share of the listeners' answers."""
    rejected_reward: float
    codec: str | None = None
    """Digest of the codec that listeners heard; None: rollouts, which a reward compared."""
