"""What happened in a step of training: lines of steps.jsonl and timeline.jsonl."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import SerializerFunctionWrapHandler, model_serializer, model_validator

from ttsrl.records.record import Record

Lane = Literal["generate", "score", "train"]
"""Rows of the time-line: they run side by side."""

UTILITY = "utility_"
"""Before a component's name: the key of its utility."""


class RolloutStatistics(Record):
    """Means over the rollouts of one step.

    Shares are of all rollouts. A mean is None where no rollout has the value: rewards are of
    rollouts that are not failed, raw scores, utilities and durations of the measured ones.

    On disk the scores stand beside the other keys: `cer` is the raw score `cer`, `utility_cer` its
    utility. A number under a key that is not a field is therefore read as a raw score.
    """

    step: int
    """From 1."""
    rollouts: int
    """How many there are."""
    prompts_sha256: str
    """Names the set of prompts, so that two runs at the same data position can be compared."""
    reward: float | None
    reward_std: float | None
    """Population standard deviation over the rollouts."""
    group_std: float | None = None
    """Standard deviation of rewards within a group, mean over groups of two or more."""
    zero_advantage_share: float | None = None
    """Share of the groups whose advantages are all 0."""
    tokens: int = 0
    """Speech tokens of all rollouts."""
    length_tokens: float
    """Speech tokens per rollout."""
    duration_s: float | None
    """Seconds of speech per measured rollout."""
    chars_per_s: float | None = None
    """Characters of the normalised texts per second of speech, over the measured rollouts."""
    end_token_rate: float
    """Share that ended by themselves."""
    gated_share: float
    gated_reasons: dict[str, int]
    """Reason -> rollouts."""
    failed_share: float
    failed_kinds: dict[str, int]
    """Kind of `ttsrl.wire.Failed` -> rollouts."""
    distinct_share: float
    """Share left when copies count once."""
    raw: dict[str, float] = {}
    """Score -> mean in natural units (CER as a ratio, NLL in nats per token)."""
    utilities: dict[str, float] = {}
    """Component -> mean utility in [0, 1]."""

    @model_validator(mode="before")
    @classmethod
    def _gather_scores(cls, line: Any) -> Any:
        """Scores of a line, from beside its other keys into `raw` and `utilities`."""
        if not isinstance(line, dict) or "raw" in line or "utilities" in line:
            return line
        raw = {
            key: value
            for key, value in line.items()
            if key not in cls.model_fields
            and not key.startswith(UTILITY)
            and isinstance(value, int | float)
        }
        utilities = {
            key.removeprefix(UTILITY): value
            for key, value in line.items()
            if key.startswith(UTILITY)
        }
        return {**line, "raw": raw, "utilities": utilities}

    @model_serializer(mode="wrap")
    def _spread_scores(self, inner: SerializerFunctionWrapHandler) -> dict[str, Any]:
        line: dict[str, Any] = inner(self)
        raw, utilities = line.pop("raw"), line.pop("utilities")
        return line | raw | {f"{UTILITY}{name}": value for name, value in utilities.items()}


class AsynchronousPart(Record):
    """What a step has where rollouts are generated while others are trained."""

    staleness: float
    """Updates between the policy that a rollout's first token was sampled from and the one that it
    trained: mean over the rollouts."""
    staleness_max: int
    trainer_waited_s: float
    """Seconds in which the trainer waited for rollouts and their scores."""
    rollouts_waited_s: float
    """Seconds in which nothing was generated, mean over the machines."""


class TrainingStep(RolloutStatistics):
    """A line of steps.jsonl. A figure that verl does not give is None."""

    entropy: float | None = None
    """Of the policy, in nats per token."""
    grad_norm: float | None = None
    """Before it is clipped."""
    learning_rate: float | None = None
    policy_loss: float | None = None
    kl: float | None = None
    """To the reference policy, in nats per token."""
    rollout_kl: float | None = None
    """Of the engine that sampled to the actor, in nats per token; None where the engine's
    log-probabilities are the actor's own."""
    replaced_groups: int = 0
    """Groups that dynamic sampling threw away: their rollouts are in no other figure."""
    balance: float | None = None
    """Tokens, prompts included, of the training process that got the most, in those of the mean:
    1 where all got the same, and where only one trains."""
    asynchronous: AsynchronousPart | None = None
    """None where generation and training take turns."""
    seconds: float
    """Of the whole step."""
    seconds_by_stage: dict[str, float]
    """Stage -> seconds; `generate` ends with the last token, `wait_for_scores` follows it."""
    save_waited_s: float = 0.0
    """Of the stage `save`: until the checkpoint before was written and published."""
    gpu_idle: dict[str, float] = {}
    """GPU -> share of the step in which no kernel ran on it; empty on CPUs. `HOST:NUMBER` where
    several machines train."""
    ended_at_s: float = 0.0
    """Seconds since the epoch; 0 in steps of the first version."""


class TimelineEvent(Record):
    """A line of timeline.jsonl: one bar of a step, in seconds from the start of the step."""

    step: int
    lane: Lane
    name: str
    """A stage of `seconds_by_stage`, or `score`."""
    start_s: float
    end_s: float
