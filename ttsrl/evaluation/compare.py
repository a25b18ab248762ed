"""What two evaluations of one suite differ by: paired over its texts, with 95 % intervals."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ttsrl.errors import BadInput
from ttsrl.evaluation.report.adapted import adaptation_between, told
from ttsrl.evaluation.report.comparison import Comparison, change_of, compare_evaluations, shown_in
from ttsrl.evaluation.report.inputs import Evaluation
from ttsrl.records.evaluation import REPORT, ROWS, AdaptationFigure
from ttsrl.runtime.scratch import scratch
from ttsrl.storage.storage import open_storage

PULLED = (REPORT, ROWS)


def show(one: str, other: str, *, as_json: bool, samples: int = 2000, seed: int = 0) -> None:
    """Print by what two evaluations differ, as a table or as JSON.

    Each is a folder, or where an evaluation is published; `samples` are the bootstrap's. Raises
    BadInput.
    """
    if samples < 100:
        raise BadInput(f"--samples {samples}: give at least 100 for an interval")
    before, after = read(one), read(other)
    found = compare_evaluations(before, after, samples=samples, seed=seed)
    if not found.comparable:
        raise BadInput(
            f"{one} and {other} cannot be compared: their texts, settings or judges differ; "
            "evaluate both models with one configuration"
        )
    figures = adaptation_between(before, after, samples=samples, seed=seed)
    if as_json:
        print(json.dumps(values(found) | adaptation_values(figures), indent=2, ensure_ascii=False))
        return
    if before.report.identity.model == after.report.identity.model:
        print("both are evaluations of the same model")
    print("\n".join(lines(found)))
    for figure in figures:
        print(told(figure))


def read(where: str) -> Evaluation:
    """The evaluation in a folder, or at an address in storage. Raises BadInput."""
    if "://" not in where:
        folder = Path(where)
        if (evaluation := Evaluation.read(folder)) is None:
            raise BadInput(
                f"no finished evaluation in {folder}: report.json is missing; make one with "
                "ttsrl eval, or give the folder that has it"
            )
        return evaluation
    address = re.fullmatch(r"(.+)/(runs/[^/]+/eval/[^/]+/[^/]+)/*", where)
    if address is None:
        raise BadInput(
            f"{where} is not an address of an evaluation; give "
            "s3://bucket/prefix/runs/NAME/eval/SUITE/step_000100"
        )
    with scratch("ttsrl-compare-") as made:
        folder = made / "evaluation"
        open_storage(address[1]).pull(address[2], folder, wanted=lambda path: path in PULLED)
        evaluation = Evaluation.read(folder)
    if evaluation is None:
        raise BadInput(f"{where} is published without report.json: no evaluation")
    return evaluation


def lines(found: Comparison) -> list[str]:
    """One line a metric and mode, in columns."""
    head = ("", "", "before", "after", "change", "95 % interval", "texts")
    table: list[tuple[str, ...]] = [head]
    for metric, by_mode in found.rows:
        for mode, compared in by_mode.items():
            if compared is None:
                table.append((metric.label, mode, "no value", "no value", "", "", "0"))
                continue
            result = compared.result
            sides = [shown_in(metric.unit, side.value) for side in (result.before, result.after)]
            change, write = change_of(metric, result)
            told = (
                (write(change.value), f"{write(change.low)} to {write(change.high)}")
                if change
                else ("", "")
            )
            table.append((metric.label, mode, *sides, *told, str(compared.texts)))
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]


def values(found: Comparison) -> dict[str, Any]:
    """Metric -> mode -> estimates with their limits, and over how many texts."""
    return {
        metric.key: {
            mode: compared and {**asdict(compared.result), "texts": compared.texts}
            for mode, compared in by_mode.items()
        }
        for metric, by_mode in found.rows
    }


def adaptation_values(figures: Iterable[AdaptationFigure]) -> dict[str, dict[str, Any]]:
    """`adaptation/KIN` -> mode -> the figure."""
    by_kin: dict[str, dict[str, Any]] = {}
    for figure in figures:
        by_kin.setdefault(f"adaptation/{figure.kin}", {})[figure.mode] = figure.model_dump()
    return by_kin
