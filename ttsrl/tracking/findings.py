"""What guards found, as a row of trackers that keep rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ttsrl.tracking.base import FINDING, FindingNote

EVENT, GUARD, STEP_OF, SAID = (f"{FINDING}/{name}" for name in ("event", "guard", "step", "said"))


def finding_row(note: FindingNote) -> dict[str, Any]:
    """The row of a finding."""
    return {EVENT: note.event, GUARD: note.guard, STEP_OF: note.step, SAID: note.said}


def finding_name(row: Mapping[str, Any]) -> str | None:
    """Name of the finding that a row is of, as `Told` has it; None for any other row."""
    return f"{row[EVENT]}/{row[GUARD]}/{int(row[STEP_OF])}" if EVENT in row else None
