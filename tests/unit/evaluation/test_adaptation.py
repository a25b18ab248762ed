"""How much of a gain only the reward's kin hears."""

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from support.records import report_of, row_of
from ttsrl.config.load import load_run
from ttsrl.errors import BadInput
from ttsrl.evaluation.adaptation import adaptations, write_adaptation
from ttsrl.records.evaluation import REPORT, ROWS, AdaptationFigure, EvaluationReport, EvaluationRow
from ttsrl.records.record import read_file, to_text, write_lines

JUDGES: list[dict[str, Any]] = [
    {"name": "rewarding", "type": "whisper", "model": "a", "used_in_reward": True},
    {"name": "kin", "type": "whisper", "model": "b", "kinship": "kin"},
    {"name": "judge", "type": "ctc", "model": "c", "kinship": "unlike"},
]
BEFORE = {"rewarding": 0.2, "kin": 0.2, "judge": 0.3}


def rows(cers: Mapping[str, float | None], texts: int = 200, **values: Any) -> list[EvaluationRow]:
    """Texts whose CERs scatter about these means, the same scatter for every judge."""
    draw = random.Random(1)
    return [
        row_of(i, {name: cer and cer * scale for name, cer in cers.items()}, **values)
        for i in range(texts)
        for scale in [draw.uniform(0.5, 1.5)]
    ]


def report(**values: Any) -> EvaluationReport:
    return report_of({"greedy": BEFORE}, **({"judges": JUDGES} | values))


def figures(
    after: list[EvaluationRow], before: list[EvaluationRow] | None = None, **values: Any
) -> list[AdaptationFigure]:
    told = report(**values)
    return adaptations(told, after, report(), before or rows(BEFORE), samples=500, seed=0)


def test_it_is_the_gain_of_the_kin_minus_that_of_the_unlike_judge() -> None:
    found = figures(rows({"rewarding": 0.1, "kin": 0.12, "judge": 0.27}))
    assert [(one.kin, one.unlike, one.texts) for one in found] == [
        ("rewarding", "judge", 200),
        ("kin", "judge", 200),
    ]
    gains = [(one.kin_gain.value, one.unlike_gain.value, one.adaptation.value) for one in found]
    assert gains == [pytest.approx((0.5, 0.1, 0.4)), pytest.approx((0.4, 0.1, 0.3))]
    # the scatter is the texts', and so it cancels
    assert found[0].adaptation.high - found[0].adaptation.low < 1e-9


def test_a_gain_that_all_hear_is_no_adaptation() -> None:
    draw = random.Random(2)
    after = rows({"rewarding": 0.1, "kin": 0.1, "judge": 0.15})
    for row in after:
        for verdict in row.judges.values():
            assert verdict.cer is not None
            scattered = verdict.cer * draw.uniform(0.0, 2.0)
            object.__setattr__(verdict, "cer", scattered)
    for one in figures(after):
        assert one.adaptation.low < 0 < one.adaptation.high
        assert one.adaptation.low < one.adaptation.value < one.adaptation.high


def test_only_texts_that_both_judges_heard_twice_count() -> None:
    after = rows({"rewarding": 0.1, "kin": 0.1, "judge": 0.3})
    object.__setattr__(after[0].judges["judge"], "cer", None)
    object.__setattr__(after[1].judges["kin"], "cer", None)
    assert [one.texts for one in figures(after)] == [199, 198]


def test_without_an_error_before_without_kin_and_without_an_unlike_judge_it_has_no_value() -> None:
    after = rows(BEFORE)
    assert figures(after, rows(BEFORE | {"rewarding": 0.0, "kin": 0.0})) == []
    assert figures(after, rows(BEFORE | {"judge": 0.0})) == []
    assert figures(after, judges=JUDGES[2:]) == []
    assert figures(after, judges=JUDGES[:2]) == []
    assert figures(after, identity={"model": "m", "protocol": "other"}) == []
    assert figures(rows(BEFORE, mode="sampled")) == []


def test_it_is_written_into_the_report_of_a_folder(tmp_path: Path) -> None:
    run = load_run("examples/tiny/run.json")
    cers = {"before": BEFORE, "after": {"rewarding": 0.1, "kin": 0.1, "judge": 0.3}}
    for side, means in cers.items():
        (tmp_path / side).mkdir()
        write_lines(tmp_path / side / ROWS, rows(means))
        (tmp_path / side / REPORT).write_text(to_text(report()))
    written = write_adaptation(run, tmp_path / "after", tmp_path / "before")
    assert [one.adaptation.value for one in written.adaptation] == [pytest.approx(0.5)] * 2
    assert read_file(EvaluationReport, tmp_path / "after" / REPORT) == written
    assert write_adaptation(run, tmp_path / "after", tmp_path / "none") == written
    with pytest.raises(BadInput, match="no finished evaluation"):
        write_adaptation(run, tmp_path / "none", tmp_path / "before")
