"""Whether an evaluation in a local folder is of a checkpoint that a rollback has given up."""

from __future__ import annotations

from pathlib import Path

from ttsrl.records.evaluation import REPORT, EvaluationReport
from ttsrl.records.guard import SetBacks
from ttsrl.records.record import read_file


def is_given_up(out: Path, set_backs: SetBacks) -> bool:
    """Whether an evaluation in a folder `step_N` is one. Raises BadInput."""
    report = read_file(EvaluationReport, out / REPORT)
    step = int(out.name.removeprefix("step_"))
    return report is not None and set_backs.gave_up(step, report.rollbacks)
