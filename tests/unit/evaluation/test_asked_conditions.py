"""An evaluation by what was asked: styles and voices, their shares, intervals, table."""

from __future__ import annotations

import pytest
from scipy.stats import binomtest

from support.records import report_of, row_of
from ttsrl.evaluation.conditions import SPEAKER, conditions_in, wilson
from ttsrl.evaluation.report.conditions import condition_tables
from ttsrl.records.evaluation import (
    ConditionSummary,
    EvaluationReport,
    EvaluationRow,
    Interval,
    PromptRecording,
    StyleVerdict,
)

ANNA, BEN = (
    PromptRecording(text=f"{name} speaks", audio=f"voices/{name}.wav", sha256=name)
    for name in ("anna", "ben")
)


def styled(index: int, style: str | None, *heard: bool | None, cer: float = 0.0) -> EvaluationRow:
    """An utterance with this style asked, and verdicts of the judges a, b, ..."""
    verdicts = {name: StyleVerdict(as_asked=one) for name, one in zip("ab", heard, strict=False)}
    return row_of(index, {"judge": cer}, style=style, styles=verdicts)


def spoken(index: int, voice: PromptRecording, nearest: str | None) -> EvaluationRow:
    return row_of(index, {"judge": 0.1}, voice=voice, nearest_voice=nearest, similarity=0.5)


def value_of(interval: Interval | None) -> float | None:
    return interval and interval.value


def test_each_style_has_its_share_its_cer_and_its_texts() -> None:
    rows = [
        styled(0, "sad", True, False, cer=0.1),
        styled(0, "sad", False, False, cer=0.3),
        styled(1, "sad", True, None, cer=0.0),
        styled(2, "happy", True, True),
        styled(3, None),
    ]
    happy, sad = conditions_in(rows, "judge")
    assert (happy.asked, happy.texts, happy.utterances) == ("happy", 1, 1)
    assert (sad.kind, sad.asked, sad.texts, sad.utterances) == ("style", "sad", 2, 3)
    assert value_of(sad.as_asked["a"]) == pytest.approx(0.75), "of texts, not of utterances"
    assert value_of(sad.as_asked["b"]) == 0, "what it failed on is left out"
    assert sad.cer and sad.cer.value == pytest.approx(0.1)
    assert sad.cer.low == pytest.approx(0.0) and sad.cer.high == pytest.approx(0.2)
    assert sad.similarity is None


def test_a_judge_that_failed_on_all_has_no_share() -> None:
    [sad] = conditions_in([styled(0, "sad", None)], "judge")
    assert sad.as_asked == {"a": None}


def test_each_voice_has_the_share_that_is_nearest_to_it() -> None:
    rows = [spoken(0, ANNA, "anna"), spoken(1, ANNA, "ben"), spoken(2, BEN, "ben")]
    anna, ben = conditions_in(rows, "judge")
    assert (anna.kind, anna.asked, anna.texts) == ("voice", "voices/anna.wav", 2)
    assert [value_of(one.as_asked[SPEAKER]) for one in (anna, ben)] == [0.5, 1.0]
    assert anna.similarity and anna.similarity.value == 0.5
    assert not [*conditions_in([spoken(0, ANNA, None)], "judge")], "nothing looked for the nearest"


@pytest.mark.parametrize(("right", "of"), [(0, 5), (3, 7), (50, 50), (1, 1)])
def test_the_interval_is_wilsons(right: int, of: int) -> None:
    found = wilson([1.0] * right + [0.0] * (of - right))
    expected = binomtest(right, of).proportion_ci(method="wilson")
    assert found and found.value == right / of
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-6)


def reported(*conditions: ConditionSummary) -> EvaluationReport:
    report = report_of({"sampled": {"judge": 0.1}}, styles={"a": False, "b": True})
    sampled = report.modes["sampled"].model_copy(update={"conditions": [*conditions]})
    return report.model_copy(update={"modes": {"sampled": sampled}})


def test_the_table_sets_before_beside_after() -> None:
    before = reported(*conditions_in([styled(0, "sad", False, False, cer=0.5)], "judge"))
    rows = [styled(0, "sad", True, None, cer=0.25), spoken(1, ANNA, "anna")]
    styles, voices = condition_tables(before, reported(*conditions_in(rows, "judge")))
    assert styles.heads == [
        "a: share in the asked style",
        "b (gave the reward): share in the asked style",
        "CER, judge",
    ]
    [line] = styles.lines
    assert (line.asked, line.mode, line.texts) == ("sad", "sampled", 1)
    assert [value for value, _ in line.cells] == [
        "0.0 %",
        "100.0 %",
        "0.0 %",
        "",
        "50.0 %",
        "25.0 %",
    ]
    assert line.cells[1][1] == "20.7 % to 100.0 %"
    assert voices.lines[0].asked == "anna.wav"
    assert voices.lines[0].cells[0] == ("", ""), "it was not asked for before"
