"""What happened to a run's checkpoints: lines of checkpoints.jsonl."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from ttsrl.records.record import Record, validated


class CheckpointRestored(Record):
    """Training started from a checkpoint, or anew where `step` is 0."""

    event: Literal["resumed"] = "resumed"
    step: int
    at_s: float
    """Seconds since the epoch."""


class CheckpointPublished(Record):
    """A checkpoint is complete in storage."""

    event: Literal["published"] = "published"
    step: int
    at_s: float
    """Seconds since the epoch."""
    bytes: int
    seconds: float
    """Of its upload."""
    write_seconds: float = 0.0
    """Of its writing beside the steps; 0 where the step waited for it."""


CheckpointEvent = CheckpointRestored | CheckpointPublished

_EVENT: TypeAdapter[CheckpointEvent] = TypeAdapter(
    Annotated[CheckpointEvent, Field(discriminator="event")]
)


def parse_checkpoint_event(line: str, place: object) -> CheckpointEvent:
    """The event that a line of checkpoints.jsonl tells of. Raises BadInput."""
    return validated(_EVENT, line, place)
