"""What the service and its worker processes say to each other, and how a worker can fail."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ttsrl.scorers.remote import NOTHING_USED, Usage
from ttsrl.wire import Outcome, ServiceSpec


@dataclass(frozen=True)
class WorkerPlace:
    """Which of the service's workers a process is, and of which run."""

    config: str
    """The run's JSON file."""
    number: int
    """From 0."""
    workers: int
    """How many there are; they share the cores or the GPUs."""
    models: Mapping[str, str] = field(default_factory=dict[str, str])
    """Key of the run -> model at the commit that another worker has loaded; empty: none has yet."""


@dataclass(frozen=True)
class Loaded:
    """The models are warm."""

    spec: ServiceSpec
    device: str


@dataclass(frozen=True)
class CannotLoad:
    """The process ends; only a change of its input or its machine helps."""

    detail: str
    exit_code: int


@dataclass(frozen=True)
class Measured:
    """A batch is done."""

    outcomes: list[Outcome]
    stages: list[tuple[str, float]]
    """Stage and its seconds, in the order in which they ran."""
    usage: Usage = NOTHING_USED
    """Of requests to other programs."""
    last: bool = False
    """Whether the process ends now, to be replaced."""


class WorkerLost(Exception):
    """The process is gone, and with it the batch that it was measuring."""

    reason = "died"


class WorkerHung(WorkerLost):
    """It gave no answer in time and was killed."""

    reason = "hung"


class WorkerEnds(WorkerLost):
    """A scorer hangs in it, so it ends after this batch, whose outcomes are here."""

    reason = "hung"

    def __init__(self, detail: str, outcomes: list[Outcome]) -> None:
        super().__init__(detail)
        self.outcomes = outcomes


class CannotStart(Exception):
    """A worker process cannot load its models; the service has to end with `exit_code`."""

    def __init__(self, detail: str, exit_code: int) -> None:
        super().__init__(detail)
        self.exit_code = exit_code
