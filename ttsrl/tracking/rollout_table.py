"""The rollouts of a step as a table."""

from __future__ import annotations

from collections.abc import Sequence

from ttsrl.tracking.base import RolloutClip

Cell = str | float | None


def columns_of(clips: Sequence[RolloutClip]) -> list[str]:
    """Heads of the table; the audio is no column of it."""
    scores = _scores(clips)
    return ["step", "kind", "gate", "text", "transcript", "reward", "duration_s", *scores]


def row_of(clip: RolloutClip, clips: Sequence[RolloutClip]) -> list[Cell]:
    """A rollout, of those that the table has."""
    sample = clip.sample
    values: dict[str, float] = {
        **(sample.raw or {}),
        **{f"utility_{name}": value for name, value in (sample.utilities or {}).items()},
    }
    return [
        sample.step,
        sample.kind,
        sample.reason or "",
        sample.text,
        sample.transcript or "",
        sample.reward,
        sample.duration_s,
        *(values.get(name) for name in _scores(clips)),
    ]


def caption_of(clip: RolloutClip) -> str:
    """A rollout in one line."""
    sample = clip.sample
    heard = f", heard as {sample.transcript!r}" if sample.transcript is not None else ""
    gate = f", gate {sample.reason}" if sample.reason else ""
    return f"step {sample.step}, reward {sample.reward:.3f}{gate}: {sample.text!r}{heard}"


def _scores(clips: Sequence[RolloutClip]) -> list[str]:
    raw = {name: None for clip in clips for name in clip.sample.raw or {}}
    utilities = {f"utility_{name}": None for c in clips for name in c.sample.utilities or {}}
    return [*raw, *utilities]
