"""The table that a quickstart ends with: before against after, as each judge heard them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.table import Table

from ttsrl.config.schema import RunConfig
from ttsrl.records.evaluation import REPORT, EvaluationReport, ModeSummary
from ttsrl.records.record import parse


def before_and_after(run: RunConfig, work_dir: Path) -> Table:
    """Both evaluations of a run's folder; the report has the intervals."""
    paths = [work_dir / "eval" / side / REPORT for side in ("before", "after")]
    before, after = (parse(EvaluationReport, path.read_bytes(), path).modes for path in paths)
    table = Table("held-out texts", "speech", "before", "after")
    for mode in before:
        for label, *values in _rows(run, before[mode], after[mode]):
            table.add_row(label, mode, *values)
        table.add_section()
    return table


def _rows(run: RunConfig, before: ModeSummary, after: ModeSummary) -> Iterator[list[str]]:
    for judge in run.eval.judges:
        label = f"CER by {judge.name}" + (" (gave the reward)" if judge.used_in_reward else "")
        cers = [side.judges[judge.name].mean_cer for side in (before, after)]
        yield [label, *("-" if cer is None else f"{cer:.1%}" for cer in cers)]
    yield ["ended by itself", *(f"{side.end_token_rate:.1%}" for side in (before, after))]
    yield ["mean duration", *(f"{side.mean_duration_s:.2f} s" for side in (before, after))]
