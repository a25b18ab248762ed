"""What happened in each step, as JSON lines: steps.jsonl, rollouts.jsonl, timeline.jsonl.

Lines are appended whole and flushed, so that a reader may follow them; a resumed run drops the
lines of steps that it does again.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

from ttsrl.storage.atomic import replace_text

Row = Mapping[str, Any]
"""A `ttsrl.training.rollout_worker.Rollout` as a dictionary."""

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


class StepLog:
    """Writes the three files into one folder."""

    def __init__(self, folder: Path, *, resumed_at: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.paths = {name: folder / f"{name}.jsonl" for name in ("steps", "rollouts", "timeline")}
        for path in self.paths.values():
            _drop_steps_after(path, resumed_at)

    def write(
        self,
        step: int,
        rollouts: Sequence[Row],
        metrics: Mapping[str, Any],
        seconds_by_timer: Mapping[str, float],
        start_s: float,
        end_s: float,
    ) -> None:
        """Append the lines of one step; `start_s` and `end_s` are seconds since the epoch."""
        seconds = {STAGES[k]: v for k, v in seconds_by_timer.items() if k in STAGES}
        last_token_s = max(r["generate_end_s"] for r in rollouts)
        last_score_s = max(r["score_end_s"] for r in rollouts)
        seconds["wait_for_scores"] = last_score_s - last_token_s
        seconds["generate"] = last_token_s - start_s
        line = {
            "step": step,
            **rollout_statistics(rollouts),
            # from verl's log-probability pass, or where that is skipped from its update
            "entropy": metrics.get("actor/entropy", metrics.get("actor/entropy_loss")),
            "grad_norm": metrics.get("actor/grad_norm"),
            "learning_rate": metrics.get("actor/lr"),
            "policy_loss": metrics.get("actor/pg_loss"),
            "kl": metrics.get("actor/kl_loss"),
            # groups that dynamic sampling threw away: their rollouts are in no other figure
            "replaced_groups": metrics.get("training/filter_groups/evicted_samples", 0),
            "seconds": end_s - start_s,
            "seconds_by_stage": seconds,
            "ended_at_s": end_s,
        }
        self._append(
            "timeline", [{"step": step, **e} for e in timeline(rollouts, seconds, start_s)]
        )
        self._append("rollouts", [{"step": step, **e} for e in samples(rollouts)])
        self._append("steps", [line])

    def _append(self, name: str, lines: Sequence[Mapping[str, Any]]) -> None:
        with self.paths[name].open("a", encoding="utf-8") as file:
            file.write("".join(json.dumps(line) + "\n" for line in lines))


def on_our_clock(rollouts: Sequence[Row], start_s: float, gathered_s: float) -> Sequence[Row]:
    """Rollouts whose times may be another machine's, moved by the least that puts them where they
    happened: between the begin of the step and the moment when all were here."""
    times = ("generate_start_s", "generate_end_s", "score_end_s")
    earliest = start_s - min(r["generate_start_s"] for r in rollouts)
    latest = gathered_s - max(r["score_end_s"] for r in rollouts)
    offset_s = min(max(0.0, earliest), latest)
    if offset_s == 0.0:
        return rollouts
    return [{**r, **{name: r[name] + offset_s for name in times}} for r in rollouts]


def rollout_statistics(rollouts: Sequence[Row]) -> dict[str, Any]:
    """Means over the rollouts of a step; raw scores and utilities over the measured ones."""
    outcomes = [r["outcome"] for r in rollouts]
    measured = [o for o in outcomes if o["status"] == "ok"]
    rewarded = [float(o["reward"]) for o in outcomes if o["status"] != "error"]
    count = len(rollouts)
    distinct = {(r["text"], tuple(r["speech_tokens"]), r["finished"]) for r in rollouts}
    statistics: dict[str, Any] = {
        "rollouts": count,
        "prompts_sha256": _digest(r["text"] for r in rollouts),
        "reward": fmean(rewarded) if rewarded else None,
        "reward_std": pstdev(rewarded) if rewarded else None,
        **group_statistics(rollouts),
        "tokens": sum(len(r["speech_tokens"]) for r in rollouts),
        "length_tokens": fmean(len(r["speech_tokens"]) for r in rollouts),
        "duration_s": fmean(o["duration_s"] for o in measured) if measured else None,
        "end_token_rate": fmean(r["finished"] for r in rollouts),
        "gated_share": sum(o["status"] == "gated" for o in outcomes) / count,
        "gated_reasons": dict(Counter(o["reason"] for o in outcomes if o["status"] == "gated")),
        "failed_share": sum(o["status"] == "error" for o in outcomes) / count,
        "failed_kinds": dict(Counter(o["kind"] for o in outcomes if o["status"] == "error")),
        "distinct_share": len(distinct) / count,
    }
    for name in measured[0]["raw"] if measured else ():
        statistics[name] = fmean(o["raw"][name] for o in measured)
    for name in measured[0]["utilities"] if measured else ():
        statistics[f"utility_{name}"] = fmean(o["utilities"][name] for o in measured)
    return statistics


def group_statistics(rollouts: Sequence[Row]) -> dict[str, Any]:
    """How much the groups had to learn from: the mean deviation of their rewards, and the share
    whose advantages are all 0 because fewer than two were measured or all got the same."""
    rewards_of: dict[str, list[float]] = {r["group"]: [] for r in rollouts}
    for r in rollouts:
        if r["outcome"]["status"] != "error":
            rewards_of[r["group"]].append(float(r["outcome"]["reward"]))
    groups = list(rewards_of.values())
    compared = [rewards_G for rewards_G in groups if len(rewards_G) >= 2]
    return {
        "group_std": fmean(pstdev(rewards_G) for rewards_G in compared) if compared else None,
        "zero_advantage_share": sum(len(set(rewards_G)) < 2 for rewards_G in groups) / len(groups),
    }


def samples(rollouts: Sequence[Row]) -> list[dict[str, Any]]:
    """The best, the worst and a typical measured rollout of a step, and one of each gate."""
    measured = sorted(
        (r for r in rollouts if r["outcome"]["status"] == "ok"),
        key=lambda r: r["outcome"]["reward"],
    )
    chosen: list[tuple[str, Row]] = []
    if measured:
        chosen += [
            ("best", measured[-1]),
            ("typical", measured[len(measured) // 2]),
            ("worst", measured[0]),
        ]
    gated = {r["outcome"]["reason"]: r for r in rollouts if r["outcome"]["status"] == "gated"}
    chosen += [("gated", row) for row in gated.values()]
    return [
        {
            "kind": kind,
            "text": row["text"],
            "speech_tokens": [*row["speech_prefix"], *row["speech_tokens"]],
            **{
                key: row["outcome"].get(key)
                for key in ("reward", "reason", "transcript", "raw", "utilities", "duration_s")
            },
        }
        for kind, row in chosen
    ]


def timeline(
    rollouts: Sequence[Row], seconds: Mapping[str, float], start_s: float
) -> list[dict[str, Any]]:
    """Events of a step in seconds from its start: generation and scoring side by side, then the
    trainer's stages one after the other."""
    ends = sorted(r["generate_end_s"] - start_s for r in rollouts)
    scored = [r["score_end_s"] - start_s for r in rollouts]
    first = min(r["generate_start_s"] for r in rollouts) - start_s
    events = [
        {"lane": "generate", "name": "generate", "start_s": first, "end_s": ends[-1]},
        {"lane": "score", "name": "score", "start_s": ends[0], "end_s": max(scored)},
    ]
    at = max(ends[-1], *scored)
    for stage in list(STAGES.values())[1:]:
        if stage in seconds:
            end = at + seconds[stage]
            events.append({"lane": "train", "name": stage, "start_s": at, "end_s": end})
            at = end
    return events


def _digest(texts: Iterable[str]) -> str:
    """Names a step's set of prompts: two runs at the same data position agree on it."""
    return hashlib.sha256("\n".join(sorted(set(texts))).encode()).hexdigest()[:16]


def append_line(path: Path, line: Mapping[str, Any]) -> None:
    """Append one line whole."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def _drop_steps_after(path: Path, step: int) -> None:
    if not path.exists():
        return
    kept: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line)
        except (json.JSONDecodeError, KeyError):
            continue  # the line that a kill cut short
    replace_text(path, "".join(line + "\n" for line in kept))
