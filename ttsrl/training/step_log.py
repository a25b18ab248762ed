"""What happened in each step, as JSON lines: steps.jsonl, rollouts.jsonl, timeline.jsonl.

Lines are appended whole and flushed, so that a reader may follow them; a resumed run drops the
lines of steps that it does again.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

from ttsrl.errors import BadInput
from ttsrl.records.record import Record, append_lines, parse
from ttsrl.records.rollout import Rollout, RolloutSample, SampleKind
from ttsrl.records.step import (
    AsynchronousPart,
    Lane,
    RolloutStatistics,
    TimelineEvent,
    TrainingStep,
)
from ttsrl.wire import Failed, Gated, Ok

STAGES = {
    "gen": "generate",
    "old_log_prob": "old_log_prob",
    "ref": "reference_log_prob",
    "adv": "advantage",
    "update_actor": "update",
    "save_checkpoint": "save",
    "update_weights": "sync_weights",
}
"""verl's timer -> our name, in the order in which a step runs them."""
SAVE_WAITED = "save_waited"
"""A timer of our own: the part of verl's save_checkpoint that is spent on the checkpoint before."""


class StepLog:
    """Writes the three files into one folder."""

    def __init__(self, folder: Path, *, resumed_at: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.paths = {name: folder / f"{name}.jsonl" for name in ("steps", "rollouts", "timeline")}
        for path in self.paths.values():
            drop_steps_after(path, resumed_at)

    def write(
        self,
        step: int,
        rollouts: Sequence[Rollout],
        metrics: Mapping[str, Any],
        seconds_by_timer: Mapping[str, float],
        start_s: float,
        end_s: float,
        gpu_idle: Mapping[str, float] | None = None,
        rollouts_waited_s: float | None = None,
    ) -> None:
        """Append the lines of one step; `start_s` and `end_s` are seconds since the epoch.

        `metrics` and `seconds_by_timer` are verl's, under its names. `rollouts_waited_s` of an
        asynchronous step: seconds in which nothing was generated.
        """
        seconds = {STAGES[k]: v for k, v in seconds_by_timer.items() if k in STAGES}
        last_token_s = max(start_s, *(r.generate_end_s for r in rollouts))
        last_score_s = max(last_token_s, *(r.score_end_s for r in rollouts))
        seconds["wait_for_scores"] = last_score_s - last_token_s
        seconds["generate"] = last_token_s - start_s
        line = TrainingStep(
            **dict(rollout_statistics(step, rollouts)),
            # from verl's log-probability pass, or where that is skipped from its update
            entropy=metrics.get("actor/entropy", metrics.get("actor/entropy_loss")),
            grad_norm=metrics.get("actor/grad_norm"),
            learning_rate=metrics.get("actor/lr"),
            policy_loss=metrics.get("actor/pg_loss"),
            kl=metrics.get("actor/kl_loss"),
            rollout_kl=metrics.get("rollout_corr/kl"),
            replaced_groups=metrics.get("training/filter_groups/evicted_samples", 0),
            balance=balance(metrics),
            asynchronous=asynchronous_part(metrics, seconds_by_timer, rollouts_waited_s),
            seconds=end_s - start_s,
            seconds_by_stage=seconds,
            save_waited_s=seconds_by_timer.get(SAVE_WAITED, 0.0),
            gpu_idle=dict(gpu_idle or {}),
            ended_at_s=end_s,
        )
        append_lines(self.paths["timeline"], timeline(step, rollouts, seconds, start_s))
        append_lines(self.paths["rollouts"], samples(step, rollouts))
        append_lines(self.paths["steps"], [line])


def balance(metrics: Mapping[str, Any]) -> float | None:
    """How unequal verl's partition of a step's tokens over the training processes is."""
    largest, mean = (metrics.get(f"global_seqlen/{name}") for name in ("balanced_max", "mean"))
    return largest / mean if largest and mean else None


def asynchronous_part(
    metrics: Mapping[str, Any],
    seconds_by_timer: Mapping[str, float],
    rollouts_waited_s: float | None,
) -> AsynchronousPart | None:
    """What only an asynchronous step has. A rollout that new weights interrupted is as old as its
    first token."""
    if rollouts_waited_s is None:
        return None
    age = "training/off_policy/trajectory_staleness_worst"
    return AsynchronousPart(
        staleness=metrics[f"{age}/mean"],
        staleness_max=metrics[f"{age}/max"],
        trainer_waited_s=seconds_by_timer["gen"],
        rollouts_waited_s=rollouts_waited_s,
    )


def on_our_clock(
    rollouts: Sequence[Rollout], start_s: float | None, gathered_s: float
) -> Sequence[Rollout]:
    """Rollouts whose times may be another machine's, moved by the least that puts them where they
    happened: between the begin of the step, where they began in it, and the moment when all were
    here."""
    first_s = min(r.generate_start_s for r in rollouts)
    earliest = 0.0 if start_s is None else start_s - first_s
    latest = gathered_s - max(r.score_end_s for r in rollouts)
    offset_s = min(max(0.0, earliest), latest)
    if offset_s == 0.0:
        return rollouts
    return [_moved(r, offset_s) for r in rollouts]


def rollout_statistics(step: int, rollouts: Sequence[Rollout]) -> RolloutStatistics:
    """Means over the rollouts of a step; raw scores and utilities over the measured ones."""
    outcomes = [r.outcome for r in rollouts]
    measured = [o for o in outcomes if isinstance(o, Ok)]
    gated = Counter(o.reason for o in outcomes if isinstance(o, Gated))
    failed = Counter(o.kind for o in outcomes if isinstance(o, Failed))
    rewarded = [float(o.reward) for o in outcomes if not isinstance(o, Failed)]
    count = len(rollouts)
    distinct = {(r.text, tuple(r.speech_tokens), r.finished) for r in rollouts}
    group_std, zero_advantage_share = group_statistics(rollouts)
    return RolloutStatistics(
        step=step,
        rollouts=count,
        prompts_sha256=prompts_digest(r.text for r in rollouts),
        reward=fmean(rewarded) if rewarded else None,
        reward_std=pstdev(rewarded) if rewarded else None,
        group_std=group_std,
        zero_advantage_share=zero_advantage_share,
        tokens=sum(len(r.speech_tokens) for r in rollouts),
        length_tokens=fmean(len(r.speech_tokens) for r in rollouts),
        duration_s=fmean(o.duration_s for o in measured) if measured else None,
        chars_per_s=chars_per_second(rollouts),
        end_token_rate=fmean(r.finished for r in rollouts),
        gated_share=gated.total() / count,
        gated_reasons=dict(gated),
        failed_share=failed.total() / count,
        failed_kinds=dict(failed),
        distinct_share=len(distinct) / count,
        raw=_means([o.raw for o in measured]),
        utilities=_means([o.utilities for o in measured]),
    )


def chars_per_second(rollouts: Sequence[Rollout]) -> float | None:
    """How fast the measured rollouts speak, all together."""
    measured = [(r.chars, r.outcome.duration_s) for r in rollouts if isinstance(r.outcome, Ok)]
    seconds = sum(duration_s for _, duration_s in measured)
    chars = sum(count for count, _ in measured)
    return chars / seconds if chars and seconds else None


def group_statistics(rollouts: Sequence[Rollout]) -> tuple[float | None, float]:
    """How much the groups had to learn from: the mean deviation of their rewards, and the share
    whose advantages are all 0 because fewer than two were measured or all got the same."""
    rewards_of: dict[str, list[float]] = {r.group: [] for r in rollouts}
    for r in rollouts:
        if not isinstance(r.outcome, Failed):
            rewards_of[r.group].append(float(r.outcome.reward))
    groups = list(rewards_of.values())
    compared = [rewards_G for rewards_G in groups if len(rewards_G) >= 2]
    return (
        fmean(pstdev(rewards_G) for rewards_G in compared) if compared else None,
        sum(len(set(rewards_G)) < 2 for rewards_G in groups) / len(groups),
    )


def samples(step: int, rollouts: Sequence[Rollout]) -> list[RolloutSample]:
    """The best, the worst and a typical measured rollout of a step, and one of each gate."""
    measured = [(r.outcome, r) for r in rollouts if isinstance(r.outcome, Ok)]
    gated = {r.outcome.reason: r for r in rollouts if isinstance(r.outcome, Gated)}
    chosen: list[tuple[SampleKind, Rollout]] = []
    if measured:
        ranked = [r for _, r in sorted(measured, key=lambda pair: pair[0].reward)]
        best, typical, worst = ranked[-1], ranked[len(ranked) // 2], ranked[0]
        chosen.extend([("best", best), ("typical", typical), ("worst", worst)])
    chosen.extend(("gated", r) for r in gated.values())
    return [
        RolloutSample(
            step=step,
            kind=kind,
            text=r.text,
            speech_tokens=[*r.speech_prefix, *r.speech_tokens],
            **r.outcome.model_dump(exclude={"status", "detail"}),
        )
        for kind, r in chosen
    ]


def timeline(
    step: int, rollouts: Sequence[Rollout], seconds: Mapping[str, float], start_s: float
) -> list[TimelineEvent]:
    """Events of a step in seconds from its start: generation and scoring side by side, then the
    trainer's stages one after the other. What was before the step is left out."""
    ends = sorted(max(0.0, r.generate_end_s - start_s) for r in rollouts)
    scored = max(0.0, *(r.score_end_s - start_s for r in rollouts))
    first = max(0.0, min(r.generate_start_s for r in rollouts) - start_s)
    spans: list[tuple[Lane, str, float, float]] = [
        ("generate", "generate", first, ends[-1]),
        ("score", "score", ends[0], scored),
    ]
    at = max(ends[-1], scored)
    for stage in list(STAGES.values())[1:]:
        if stage in seconds:
            spans.append(("train", stage, at, at + seconds[stage]))
            at += seconds[stage]
    return [
        TimelineEvent(step=step, lane=lane, name=name, start_s=start, end_s=end)
        for lane, name, start, end in spans
    ]


def _moved(rollout: Rollout, offset_s: float) -> Rollout:
    return rollout.model_copy(
        update={
            "generate_start_s": rollout.generate_start_s + offset_s,
            "generate_end_s": rollout.generate_end_s + offset_s,
            "score_end_s": rollout.score_end_s + offset_s,
        }
    )


def _means(scores: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Mean of each score, over those that have it: some are measured of a share of the rollouts."""
    names = dict.fromkeys(name for one in scores for name in one)
    return {name: fmean(one[name] for one in scores if name in one) for name in names}


def prompts_digest(texts: Iterable[str]) -> str:
    """Names a step's set of prompts: two runs at the same data position agree on it."""
    return hashlib.sha256("\n".join(sorted(set(texts))).encode()).hexdigest()[:16]


class _StepNumber(Record):
    """All that the log's lines have in common, whichever version wrote them."""

    step: int


def drop_steps_after(path: Path, step: int) -> None:
    """Leave out the lines of steps that are done again, and a line that a kill cut short."""
    if not path.exists():
        return
    kept: list[bytes] = []
    for line in path.read_bytes().split(b"\n"):
        try:
            if parse(_StepNumber, line, path).step <= step:
                kept.append(line)
        except BadInput:
            continue  # the line that a kill cut short
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(b"".join(line + b"\n" for line in kept))
    temporary.replace(path)
