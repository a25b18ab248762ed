"""Does a run's reward see through bad speech?

Recordings that say their texts are spoiled and combined in every way of `audit_cases`, and sounds
without speech are given the words that recognisers write for them. Each has to be rewarded less
than clean speech: what a policy can do to a recording for nothing, it can learn to do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from pydantic import ValidationError

from ttsrl.config.schema import RunConfig
from ttsrl.data.recordings import read_recordings
from ttsrl.errors import BadInput, Failure
from ttsrl.runtime.progress import Progress
from ttsrl.serving.audit_cases import AuditCase, cases
from ttsrl.serving.pipeline import Pipeline
from ttsrl.serving.recording import RecordedUtterance, read_recording
from ttsrl.serving.worker import device_of
from ttsrl.wire import Failed, Gated, Ok

AT_ONCE = 4
"""Recordings in one batch: more would only meet a scorer's deadline on a CPU."""


@dataclass(frozen=True)
class Finding:
    """What the reward makes of one way to be bad."""

    name: str
    rewards: list[float]
    """Of each utterance."""
    missed: list[int]
    """Utterances that were not rewarded less than clean speech."""
    gates: Counter[str]
    """What gated how many of them."""


def show(run: RunConfig, clips: Path) -> None:
    """Print the table.

    Raises BadInput for clips that are not clean speech, Failure for a miss and for what cannot be
    measured.
    """
    recordings = read_clips(clips, run.data.language)
    with Progress() as progress:
        loading = progress.stage("load models")
        pipeline = Pipeline(run, device_of(0, 1))
        loading.finish()
        scoring = progress.stage("audit")
        clean, findings = audit(pipeline, recordings, scoring.update)
        scoring.finish()
    print(f"{'clean speech':<18}{fmean(clean):8.3f}  mean reward of {len(clean)} recordings")
    for found in findings:
        gates = ", ".join(f"{gate} {count}" for gate, count in found.gates.most_common())
        mean = f"{fmean(found.rewards):8.3f}"
        print(f"{found.name:<18}{mean}  missed {len(found.missed)}  {gates}".rstrip())
    if not any(found.name == "two_languages" for found in findings):
        print("two_languages       not tried: all clips are in one language")
    if missed := [found.name for found in findings if found.missed]:
        raise Failure(
            f"this reward does not see through {', '.join(missed)}: a policy may learn it; add the "
            "component that measures it (docs/rewards.md)"
        )


def audit(
    pipeline: Pipeline,
    recordings: Sequence[RecordedUtterance],
    update: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[list[float], list[Finding]]:
    """Reward of each recording, and what becomes of it in each way to be bad.

    `update` gets how many of how many utterances are done. Raises BadInput for a recording that is
    gated as it is, Failure for an utterance that cannot be measured.
    """
    names = [f"recording {n} ({r.text!r})" for n, r in enumerate(recordings, 1)]
    clean: list[float] = []
    for name, outcome in zip(names, _score(pipeline, recordings, names), strict=True):
        if isinstance(outcome, Gated):
            raise BadInput(
                f"{name} is not clean speech to this reward: {outcome.reason}, {outcome.detail}; "
                "give recordings that say their text"
            )
        clean.append(outcome.reward)
    bad = cases(recordings, clean, pipeline.whisper)
    done, total = len(clean), len(clean) + sum(len(case.utterances) for case in bad)
    update(done, total)
    findings: list[Finding] = []
    for case in bad:
        names = [f"{case.name}, {u.text!r}" for u in case.utterances]
        findings.append(_finding(case, _score(pipeline, case.utterances, names)))
        done += len(case.utterances)
        update(done, total)
    return clean, findings


def read_clips(file: Path, language: str) -> list[RecordedUtterance]:
    """The recordings of a source with their texts, whatever `ttsrl.data.recordings` reads.

    Raises BadInput for a recording without a text, or that cannot be read.
    """
    recordings: list[RecordedUtterance] = []
    for clip in read_recordings(file, {}, language, repeated=True).recordings:
        place = f"{clip.place}: {clip.audio}"
        if clip.text is None:
            raise BadInput(f"{place} has no text; the audit needs what each recording says")
        try:
            read = read_recording(clip.read(), clip.text, clip.language or language, clip.segment)
        except ValidationError as error:
            raise BadInput(f"{place}: {error.errors()[0]['msg']}; correct its text") from None
        except BadInput as error:
            raise BadInput(f"{place}: {error}") from None
        recordings.append(read)
    if len({r.text for r in recordings}) < 2:
        raise BadInput(f"{file} has fewer than two texts; give several recordings")
    return recordings


def _score(
    pipeline: Pipeline, utterances: Sequence[RecordedUtterance], names: Sequence[str]
) -> list[Ok | Gated]:
    """Raises Failure for the first one that cannot be measured, BadInput if its text is why."""
    measured: list[Ok | Gated] = []
    for first in range(0, len(utterances), AT_ONCE):
        outcomes = pipeline.score(utterances[first : first + AT_ONCE])
        for name, outcome in zip(names[first:], outcomes, strict=False):
            if isinstance(outcome, Failed):
                raise _not_measured(name, outcome)
            measured.append(outcome)
    return measured


def _not_measured(name: str, outcome: Failed) -> Failure | BadInput:
    match outcome.kind:
        case "deadline":
            return Failure(
                f"{name} was not measured: {outcome.detail}, which says nothing about the speech; "
                "raise reward.scorer_deadline_s, or use a faster machine or a smaller model"
            )
        case "rejected":
            return BadInput(f"{name} cannot be measured: {outcome.detail}")
        case kind:
            return Failure(f"{name} was not measured: {kind}: {outcome.detail}")


def _finding(case: AuditCase, outcomes: Sequence[Ok | Gated]) -> Finding:
    rewards = [float(o.reward) for o in outcomes]
    return Finding(
        case.name,
        rewards,
        [n for n, (bad, good) in enumerate(zip(rewards, case.clean, strict=True)) if bad >= good],
        Counter(o.reason for o in outcomes if isinstance(o, Gated)),
    )
