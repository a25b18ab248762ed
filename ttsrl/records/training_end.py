"""Why training has ended for good: who follows the run from elsewhere need not wait for more."""

from __future__ import annotations

from ttsrl.records.record import Record


class TrainingEnd(Record):
    """log/ended.json of a run: removed by a start that passes its checks."""

    why: str
    config: str | None = None
    """Hash of the configuration that was refused; None: it ended for another reason."""
    at_s: float
    """Seconds since the epoch."""
