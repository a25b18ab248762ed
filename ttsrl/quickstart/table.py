"""The table that a quickstart ends with: before against after, as each judge heard them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.table import Table

from ttsrl.config.schema import RunConfig


def before_and_after(run: RunConfig, work_dir: Path) -> Table:
    """Both evaluations of a run's folder; the report has the intervals."""
    sides = [
        json.loads((work_dir / "eval" / suite / "report.json").read_text(encoding="utf-8"))["modes"]
        for suite in ("before", "after")
    ]
    table = Table("held-out texts", "speech", "before", "after")
    for mode in ("sampled", "greedy"):
        for label, *values in _rows(run, *(side[mode] for side in sides)):
            table.add_row(label, mode, *values)
        table.add_section()
    return table


def _rows(run: RunConfig, before: dict[str, Any], after: dict[str, Any]) -> Iterator[list[str]]:
    for judge in run.eval.judges:
        label = f"CER by {judge.name}" + (" (gave the reward)" if judge.used_in_reward else "")
        cers = [side["judges"][judge.name]["mean_cer"] for side in (before, after)]
        yield [label, *("-" if cer is None else f"{cer:.1%}" for cer in cers)]
    yield ["ended by itself", *(f"{side['end_token_rate']:.1%}" for side in (before, after))]
    yield ["mean duration", *(f"{side['mean_duration_s']:.2f} s" for side in (before, after))]
