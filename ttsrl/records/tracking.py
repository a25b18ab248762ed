"""What a tracker has been told of a run, and how it is doing."""

from __future__ import annotations

from ttsrl.records.record import Record


class Told(Record):
    """What a tracker has: steps in their order, evaluations in any."""

    step: int = 0
    """Last step of training; 0: none."""
    evaluations: list[str] = []
    """Evaluations as `SUITE/STEP`."""
    findings: list[str] = []
    """What guards found, as `EVENT/GUARD/STEP`."""

    def with_step(self, step: int) -> Told:
        """The same with a later step."""
        return self.model_copy(update={"step": max(step, self.step)})

    def with_evaluation(self, name: str) -> Told:
        """The same with one more evaluation."""
        return self.model_copy(update={"evaluations": [*self.evaluations, name]})

    def with_finding(self, name: str) -> Told:
        """The same with one more of what guards found."""
        return self.model_copy(update={"findings": [*self.findings, name]})


class TrackerState(Record):
    """state.json of a tracker in storage."""

    id: str
    """Of the tracker's run: every start continues it, until a rollback."""
    told: Told
    rollbacks: int = 0
    """Of the training, before this run of the tracker began."""


class TrackerStatus(Record):
    """How telling a tracker goes, of the process that tells it."""

    name: str
    step: int
    """Last step that it has."""
    errors: int
    """Attempts that failed."""
    dropped: int
    """What it refused, and does not have."""
    trouble: str | None
    """Why it is behind; None where it is not."""


class TrackersStatus(Record):
    """status.json: all trackers of a run."""

    trackers: list[TrackerStatus]
