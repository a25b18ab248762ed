"""The table of `make styles`: each style before and after each of the two runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from examples.styles.domain import STYLES
from examples.styles.show import JUDGE, RUNS, table
from support.records import report_of, row_of
from ttsrl.errors import Failure
from ttsrl.evaluation.conditions import conditions_in
from ttsrl.records.evaluation import REPORT, StyleVerdict
from ttsrl.records.record import to_text


def write_evaluation(folder: Path, right: int, of: int = 4) -> None:
    rows = [
        row_of(
            number,
            {"judge": 0.1},
            style=style,
            styles={JUDGE: StyleVerdict(as_asked=number < right)},
        )
        for style in STYLES
        for number in range(of)
    ]
    report = report_of({"sampled": {"judge": 0.1}}, texts=len(rows), styles={JUDGE: False})
    found = {"conditions": [*conditions_in(rows, "judge")]}
    sampled = report.modes["sampled"].model_copy(update=found)
    folder.mkdir(parents=True)
    whole = report.model_copy(update={"modes": {"sampled": sampled}})
    (folder / REPORT).write_text(to_text(whole))


def test_the_table_has_a_line_for_each_run_and_style(tmp_path: Path) -> None:
    for name in RUNS:
        write_evaluation(tmp_path / name / "eval/before", 2)
        with pytest.raises(Failure, match="no evaluation in"):
            table(tmp_path)
        write_evaluation(tmp_path / name / "eval/after", 4 if name == "told" else 1)
    lines = table(tmp_path)
    assert len(lines) == 2 + len(RUNS) * (len(STYLES) + 1)
    both = 4 * len(STYLES)
    assert f"| told | both | {both} | 50.0% -> 100.0% | 10.0% -> 10.0% |" in lines
    assert f"| hidden | both | {both} | 50.0% -> 25.0% | 10.0% -> 10.0% |" in lines
    for style in STYLES:
        assert f"| told | {style} | 4 | 50.0% (15.0% to 85.0%) -> 100.0% (51.0% to 100.0%) |" in (
            "\n".join(lines)
        )
        assert f"| hidden | {style} | 4 | 50.0% (15.0% to 85.0%) -> 25.0% (4.6% to 69.9%) |" in (
            "\n".join(lines)
        )
