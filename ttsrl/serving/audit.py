"""Does a run's reward see through bad speech?

Recordings that say their texts are degraded in every way of `audio.degradations`, and given another
recording's text. Each has to be rewarded less than it was before: what a policy can do to a
recording for nothing, it can learn to do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from pydantic import ValidationError

from ttsrl.audio.degradations import DEGRADATIONS
from ttsrl.config.schema import RunConfig
from ttsrl.errors import BadInput, Failure
from ttsrl.lines.json_lines import json_objects
from ttsrl.serving.pipeline import Pipeline
from ttsrl.serving.recording import RecordedUtterance, read_recording
from ttsrl.wire import Failed, Gated, Outcome

ANOTHER_TEXT = "another_text"
"""Clean speech, of the next recording's text."""


@dataclass(frozen=True)
class Finding:
    """What the reward makes of one way to be bad."""

    name: str
    rewards: list[float | None]
    """Of each recording; None where the measurement failed."""
    missed: list[int]
    """Recordings that were not rewarded less than before."""
    gates: Counter[str]
    """What gated how many of them."""


def show(run: RunConfig, clips: Path) -> None:
    """Print the table. Raises BadInput for clips that are not clean speech, Failure for a miss."""
    recordings = read_clips(clips, run.data.language)
    clean, findings = audit(Pipeline(run), recordings)
    print(f"{'clean speech':<16}{fmean(clean):8.3f}  mean reward of {len(clean)} recordings")
    for found in findings:
        rewards = [reward for reward in found.rewards if reward is not None]
        gates = ", ".join(f"{gate} {count}" for gate, count in found.gates.most_common())
        mean = f"{fmean(rewards):8.3f}" if rewards else f"{'failed':>8}"
        print(f"{found.name:<16}{mean}  missed {len(found.missed)}  {gates}".rstrip())
    if missed := [found.name for found in findings if found.missed]:
        raise Failure(
            f"this reward does not see through {', '.join(missed)}: a policy may learn it; add the "
            "component that measures it (docs/rewards.md)"
        )


def audit(
    pipeline: Pipeline, recordings: Sequence[RecordedUtterance]
) -> tuple[list[float], list[Finding]]:
    """Reward of each recording, and what becomes of it in each way to be bad.

    Raises BadInput for a recording that is not rewarded as it is.
    """
    clean: list[float] = []
    for number, outcome in enumerate(pipeline.score(recordings), 1):
        if isinstance(outcome, Gated | Failed):
            why = outcome.reason if isinstance(outcome, Gated) else outcome.kind
            raise BadInput(
                f"recording {number} ({recordings[number - 1].text!r}) is not clean speech to this "
                f"reward: {why}, {outcome.detail}; give recordings that say their text"
            )
        clean.append(outcome.reward)
    degraded = {
        name: [
            r.model_copy(update={"samples": degrade(r.waveform, r.sample_rate_hz).tobytes()})
            for r in recordings
        ]
        for name, degrade in DEGRADATIONS.items()
    }
    texts = [r.text for r in recordings]
    degraded[ANOTHER_TEXT] = [
        r.model_copy(update={"text": text})
        for r, text in zip(recordings, [*texts[1:], texts[0]], strict=True)
    ]
    return clean, [_finding(name, pipeline.score(bad), clean) for name, bad in degraded.items()]


def read_clips(file: Path, language: str) -> list[RecordedUtterance]:
    """The recordings that a JSONL file names, paths beside it. Raises BadInput."""
    if not file.is_file():
        raise BadInput(f"no such file: {file}; give JSONL with text and wav per line")
    recordings: list[RecordedUtterance] = []
    for place, row in json_objects(file, '{"text": "...", "wav": "FILE"}'):
        try:
            data = (file.parent / row["wav"]).read_bytes()
            recordings.append(read_recording(data, row["text"], row.get("language", language)))
        except (ValueError, TypeError, KeyError, OSError, ValidationError) as error:
            raise BadInput(f"{place}: {error or type(error).__name__}") from None
    if len({r.text for r in recordings}) < 2:
        raise BadInput(f"{file} has fewer than two texts; give several recordings")
    return recordings


def _finding(name: str, outcomes: Sequence[Outcome], clean: Sequence[float]) -> Finding:
    rewards = [None if isinstance(o, Failed) else float(o.reward) for o in outcomes]
    return Finding(
        name,
        rewards,
        [
            n
            for n, (bad, good) in enumerate(zip(rewards, clean, strict=True))
            if bad is None or bad >= good
        ],
        Counter(o.reason for o in outcomes if isinstance(o, Gated)),
    )
