"""Rollouts: as the rollout worker hands them to the trainer, and those that a step keeps."""

from __future__ import annotations

from typing import Literal

from ttsrl.records.record import Record
from ttsrl.wire import Outcome

SampleKind = Literal["best", "typical", "worst", "gated"]


class Rollout(Record):
    """One rollout of a step, beside what verl needs of it. It is kept in no file."""

    group: str
    """Shared by the rollouts of one prompt of one step."""
    text: str
    chars: int = 0
    """Characters of the text as it is normalised for scoring; 0: not counted."""
    speech_tokens: list[int]
    """What the policy said."""
    speech_prefix: list[int]
    """Real speech that the prompt ended with; the reward is of both together."""
    finished: bool
    """The policy ended the utterance itself, with its end token."""
    outcome: Outcome
    generate_start_s: float
    generate_end_s: float
    score_end_s: float
    """Seconds since the epoch; the score was asked for at `generate_end_s`."""


class RolloutSample(Record):
    """A line of rollouts.jsonl: the best, the worst and a typical rollout of a step, and one of
    each gate."""

    step: int
    kind: SampleKind
    text: str
    speech_tokens: list[int]
    """What was scored: the prompt's prefix, and what the policy said after it."""
    reward: float
    reason: str | None = None
    """Gate that closed, a name of the closed list in `ttsrl.reward.gates`."""
    transcript: str | None = None
    raw: dict[str, float] | None = None
    """Score -> value in natural units; None where it was gated."""
    utilities: dict[str, float] | None = None
    """Component -> value in [0, 1]; None where it was gated."""
    duration_s: float
