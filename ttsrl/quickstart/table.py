"""The table that a quickstart ends with: before against after, as each judge heard them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.table import Table

from ttsrl.config.schema import RunConfig
from ttsrl.evaluation.report.adapted import points
from ttsrl.models.kinship import as_said_now
from ttsrl.records.evaluation import (
    REPORT,
    EvaluationReport,
    Kinship,
    ModeSummary,
    ReportJudge,
)
from ttsrl.records.record import parse


def before_and_after(run: RunConfig, work_dir: Path) -> Table:
    """Both evaluations of a run's folder; the report has the intervals."""
    paths = [work_dir / "eval" / side / REPORT for side in ("before", "after")]
    reports = [as_said_now(run, parse(EvaluationReport, p.read_bytes(), p)) for p in paths]
    before, after = (report.modes for report in reports)
    table = Table("held-out texts", "speech", "before", "after")
    for mode in before:
        for label, *values in _rows(reports[1].judges, before[mode], after[mode]):
            table.add_row(label, mode, *values)
        for figure in reports[1].adaptation:
            if figure.mode == mode:
                table.add_row(
                    f"measured by {figure.kin} alone", mode, "", points(figure.adaptation.value)
                )
        table.add_section()
    return table


_RELATIONS: dict[Kinship, str] = {
    "unlike": "",
    "unknown": " (kinship unknown)",
    "kin": " (kin of the reward)",
    "same": " (gave the reward)",
}


def _rows(
    judges: Sequence[ReportJudge], before: ModeSummary, after: ModeSummary
) -> Iterator[list[str]]:
    for judge in judges:
        label = f"CER by {judge.name}{_RELATIONS[judge.relation]}"
        cers = [side.judges[judge.name].mean_cer for side in (before, after)]
        yield [label, *("-" if cer is None else f"{cer:.1%}" for cer in cers)]
    yield ["ended by itself", *(f"{side.end_token_rate:.1%}" for side in (before, after))]
    yield ["mean duration", *(f"{side.mean_duration_s:.2f} s" for side in (before, after))]
