"""Tells one tracker, in a thread: what it has not got, in the log's order, until it has all."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ttsrl.config.schema import RunConfig
from ttsrl.config.tracking import TrackerConfig
from ttsrl.errors import BadInput, reason_of
from ttsrl.records.guard import GUARDS, GuardEvent
from ttsrl.records.record import Record, read_lines
from ttsrl.records.rollout import RolloutSample
from ttsrl.records.step import TrainingStep
from ttsrl.records.tracking import Told, TrackerStatus
from ttsrl.storage.run_store import RunStore
from ttsrl.tracking.about import about
from ttsrl.tracking.base import FindingNote, RefusedError, StepNote, Tracker
from ttsrl.tracking.clips import RolloutAudio
from ttsrl.tracking.evaluations import Evaluations
from ttsrl.tracking.figures import of_step
from ttsrl.tracking.kept import Kept
from ttsrl.tracking.lines import Lines
from ttsrl.tracking.registry import open_tracker, writes_files

R = TypeVar("R", bound=Record)

POLL_S = 0.5
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0
"""Seconds before another attempt with a tracker that failed, doubled each time."""
REFUSALS = (RefusedError, ValueError, TypeError)
"""Of a tracker's client, about what it was told: another attempt would end the same."""


@dataclass(frozen=True)
class Sources:
    """Of a run, for the threads of all its trackers."""

    run: RunConfig
    work_dir: Path
    store: RunStore
    clips: RolloutAudio
    evaluations: Evaluations


class Teller:
    """A tracker's thread. The log is its queue, so that nothing waits in memory."""

    def __init__(self, config: TrackerConfig, sources: Sources, ended: threading.Event) -> None:
        """After `ended` it goes on until the tracker has everything."""
        self._config, self._sources, self._ended = config, sources, ended
        self._folder = sources.work_dir / "trackers" / config.type
        self._kept = Kept(sources.store, config.type, self._folder, files=writes_files(config))
        self._train = sources.work_dir / "train"
        self._steps, self._samples = self._logs()
        self._set_back: list[GuardEvent] = []
        self._tracker: Tracker | None = None
        self._told = Told()
        self._errors = self._dropped = 0
        self._trouble: str | None = None
        self.thread = threading.Thread(target=self._run, name=config.type, daemon=True)

    @property
    def status(self) -> TrackerStatus:
        """As of now."""
        return TrackerStatus(
            name=self._config.type,
            step=self._told.step,
            errors=self._errors,
            dropped=self._dropped,
            trouble=self._trouble,
        )

    def _run(self) -> None:
        wait_s = FIRST_WAIT_S
        while True:
            ended = self._ended.is_set()
            try:
                self._tell_all()
                self._kept.save(self._told, now=ended)
                if ended:
                    self._close()
                    return
            except Exception as error:  # a client raises whatever its libraries do
                self._errors += 1
                self._trouble = reason_of(error)
                print(f"{self._config.type}: {self._trouble}", flush=True)
                self._pause(wait_s)
                wait_s = min(2 * wait_s, LONGEST_WAIT_S)
                continue
            self._trouble, wait_s = None, FIRST_WAIT_S
            self._pause(POLL_S)

    def _pause(self, seconds: float) -> None:
        """As long, but not beyond the end of training: from there on attempts are frequent."""
        if self._ended.is_set():
            time.sleep(min(seconds, FIRST_WAIT_S))
        else:
            self._ended.wait(seconds)

    def _tell_all(self) -> None:
        """Everything that there is and that the tracker has not got."""
        tracker = self._open()
        if self._was_set_back():
            self._tell_findings(tracker)
            self._begin_anew()
            tracker = self._open()
        for note in self._sources.evaluations.notes(self._told):
            self._attempt(lambda note=note: tracker.evaluation(note))
            self._told = self._told.with_evaluation(note.name)
            self._kept.save(self._told)
        while (step := self._next_step()) is not None:
            note = self._note(step)
            self._attempt(lambda note=note: tracker.step(note))
            self._told = self._told.with_step(step.step)
            self._steps.take()
            self._kept.save(self._told)
        self._tell_findings(tracker)

    def _tell_findings(self, tracker: Tracker) -> None:
        for finding in self._findings():
            self._attempt(lambda finding=finding: tracker.finding(finding))
            self._told = self._told.with_finding(finding.name)
            self._kept.save(self._told)

    def _logs(self) -> tuple[Lines[TrainingStep], Lines[RolloutSample]]:
        """The step log and the rollouts, from their begin."""
        return (
            Lines(self._train / "steps.jsonl", TrainingStep),
            Lines(self._train / "rollouts.jsonl", RolloutSample),
        )

    def _was_set_back(self) -> bool:
        """Whether training was, since this run of the tracker began."""
        events = read_lines(GuardEvent, self._train / GUARDS)
        self._set_back = [event for event in events if event.event == "rolled_back"]
        return len(self._set_back) > self._kept.state.rollbacks

    def _begin_anew(self) -> None:
        """Another run of the tracker, with the log as it is now: no tracker takes figures back."""
        self._close()
        self._tracker = None
        self._kept.begin_anew(len(self._set_back))
        self._steps, self._samples = self._logs()
        self._sources.evaluations.forget_after(self._set_back[-1].to_step or 0)

    def _is_given_up(self, step: TrainingStep) -> bool:
        """Whether a rollback takes a step back that is still in the log."""
        return any(
            event.to_step is not None and step.step > event.to_step and step.ended_at_s < event.at_s
            for event in self._set_back
        )

    def _attempt(self, tell: Callable[[], None]) -> None:
        """What is refused is dropped; what fails otherwise is raised."""
        try:
            tell()
        except REFUSALS as error:
            self._dropped += 1
            print(f"{self._config.type} refused and lacks: {reason_of(error)}", flush=True)

    def _open(self) -> Tracker:
        if self._tracker is None:
            state = self._kept.load()
            shown = about(self._sources.run, self._sources.store, state)
            tracker = open_tracker(self._config, self._folder, shown)
            self._told = tracker.told(state.told)
            self._tracker = tracker
        return self._tracker

    def _close(self) -> None:
        if self._tracker is not None:
            self._tracker.close()
            self._kept.save(self._told, now=True)

    def _findings(self) -> list[FindingNote]:
        """What guards found that the tracker has not."""
        events = read_lines(GuardEvent, self._train / GUARDS)
        notes = [FindingNote(e.event, e.guard, e.step, e.said, e.at_s) for e in events]
        new = {note.name: note for note in notes if note.name not in self._told.findings}
        return list(new.values())

    def _next_step(self) -> TrainingStep | None:
        """The next step of the log that the tracker has not; one done again after it was told of
        the first time is left out, as no tracker takes figures back."""
        while (step := _readable(self._steps)) is not None:
            if step.step > self._told.step and not self._is_given_up(step):
                break
            self._steps.take()
        return step

    def _note(self, step: TrainingStep) -> StepNote:
        clips = []
        every = self._config.rollouts_every
        if every and (step.step == 1 or step.step % every == 0):
            clips = self._sources.clips.of(step.step, self._samples_of(step.step))
        return StepNote(step.step, step.ended_at_s, of_step(step), clips)

    def _samples_of(self, step: int) -> list[RolloutSample]:
        found: list[RolloutSample] = []
        while (sample := _readable(self._samples)) is not None and sample.step <= step:
            if sample.step == step:
                found.append(sample)
            self._samples.take()
        return found


def _readable(lines: Lines[R]) -> R | None:
    """The next record; what is none is left out."""
    while True:
        try:
            return lines.peek()
        except BadInput as error:
            print(f"a line of the log is left out: {error}", flush=True)
