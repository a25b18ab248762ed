"""What a tracker is, and what it is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ttsrl.audio.waveform import Waveform
from ttsrl.records.rollout import RolloutSample
from ttsrl.records.tracking import Told

Figures = Mapping[str, float]
"""Name -> value; what has no value has no name."""

STEP = "train/step"
"""Figure of every step: its number."""
EVALUATED_STEP = "eval/step"
"""Figure of every evaluation: the step of its model."""
FINDING = "guards"
"""What guards found: the line in words, and a figure for each event and guard."""


class RefusedError(ValueError):
    """A tracker does not take what it was told, and will not another time either."""


@dataclass(frozen=True)
class About:
    """A run, as a tracker shows it."""

    id: str
    """Of the tracker's run, and of nothing else."""
    name: str
    configuration: Mapping[str, Any]
    """Nested, as run.json has it."""
    facts: Mapping[str, str]
    """Name -> value: reward specification, revisions, packages, machine."""


@dataclass(frozen=True)
class RolloutClip:
    """A rollout, with its audio where it can be decoded."""

    sample: RolloutSample
    waveform: Waveform | None
    sample_rate_hz: int

    @property
    def name(self) -> str:
        """Stays the same from step to step: `best`, `gated_too_short`."""
        reason = self.sample.reason
        return f"{self.sample.kind}_{reason}" if reason else self.sample.kind


@dataclass(frozen=True)
class StepNote:
    """A finished step."""

    step: int
    ended_at_s: float
    """Seconds since the epoch."""
    figures: Figures
    clips: Sequence[RolloutClip] = ()


@dataclass(frozen=True)
class EvaluationNote:
    """A finished evaluation."""

    suite: str
    step: int
    """Of the model; 0 is the policy before training."""
    ended_at_s: float
    figures: Figures
    verdict: str = ""
    """What training changed, in sentences."""

    @property
    def name(self) -> str:
        """As `Told` has it."""
        return f"{self.suite}/{self.step}"


@dataclass(frozen=True)
class FindingNote:
    """What a guard found: an event of guards.jsonl."""

    event: str
    """tripped, cleared, rolling_back, rolled_back."""
    guard: str
    step: int
    said: str
    """In one line."""
    at_s: float
    """Seconds since the epoch."""

    @property
    def name(self) -> str:
        """As `Told` has it."""
        return f"{self.event}/{self.guard}/{self.step}"


class Tracker(Protocol):
    """A tracker's run, open. Its methods raise whatever its client does, and RefusedError."""

    def told(self, known: Told) -> Told:
        """What it has of the run; `known` is what it was told as far as we know."""
        ...

    def step(self, note: StepNote) -> None:
        """Tell it of a step; it has all of it or nothing."""
        ...

    def evaluation(self, note: EvaluationNote) -> None:
        """Tell it of an evaluation; it has all of it or nothing."""
        ...

    def finding(self, note: FindingNote) -> None:
        """Tell it of what a guard found; it has all of it or nothing."""
        ...

    def close(self) -> None:
        """Let it write or send what it holds."""
        ...
