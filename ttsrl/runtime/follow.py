"""What a running job tells about itself, shown as the progress of its stage."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

from ttsrl.records.record import parse
from ttsrl.records.step import TrainingStep
from ttsrl.records.step_line import StepLine
from ttsrl.runtime.job import Job, Tail
from ttsrl.runtime.progress import Stage, step_note

POLL_S = 0.1
STEPS_AVERAGED = 5
"""Steps that the shown seconds per step are a mean of."""


def follow(job: Job, *looks: Callable[[], object]) -> None:
    """Wait for the end of a job and look at its progress. Raises what it failed with."""
    while job.is_running():
        for look in looks:
            look()
        time.sleep(POLL_S)
    for look in looks:
        look()


def counts(job: Job, stage: Stage) -> Callable[[], None]:
    """Looks for lines such as `evaluated 3/10` in the job's output."""

    def look() -> None:
        for line in job.output.lines():
            if found := re.match(r"\w+ (\d+)/(\d+)$", line):
                stage.update(int(found[1]), int(found[2]))

    return look


def notes(job: Job, stage: Stage) -> Callable[[], None]:
    """Shows every line of the job's output."""

    def look() -> None:
        for line in job.output.lines():
            stage.tell(line)

    return look


def steps(job: Job, work_dir: Path, stage: Stage, total: int) -> Callable[[], TrainingStep | None]:
    """Looks for finished steps in train/steps.jsonl, and for what the job says beside them; returns
    the last step."""
    tail = Tail(work_dir / "train" / "steps.jsonl")
    recent: list[TrainingStep] = []
    stage.update(0, total)

    def look() -> TrainingStep | None:
        for line in job.output.lines():
            if StepLine.parse(line) is None:  # of a step steps.jsonl tells more
                stage.update(recent[-1].step if recent else 0, total, line)
        for line in tail.lines():
            recent.append(parse(TrainingStep, line, tail.path))
            del recent[:-STEPS_AVERAGED]
            mean_s = sum(step.seconds for step in recent) / len(recent)
            done = recent[-1].step
            stage.update(done, total, step_note(recent[-1], total - done, mean_s))
        return recent[-1] if recent else None

    return look
