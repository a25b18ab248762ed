"""Pairs of utterances of one text, of which one is better."""

from __future__ import annotations

from ttsrl.records.record import Record


class PreferencePair(Record):
    """A line of pairs.jsonl: the best and the worst rollout of a group."""

    step: int
    """Of the run that made it; its policy at that step has said both."""
    text: str
    prompt_ids: list[int]
    """The prompt, a speech prefix included, as token ids of the policy."""
    chosen_ids: list[int]
    """The better response, its end token included."""
    rejected_ids: list[int]
    chosen_reward: float
    rejected_reward: float
