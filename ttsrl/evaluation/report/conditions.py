"""What was asked for and what was heard: a line for each style and each voice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath

from ttsrl.evaluation.conditions import SPEAKER
from ttsrl.evaluation.report.comparison import percent
from ttsrl.records.evaluation import ConditionSummary, EvaluationReport, Interval

Key = tuple[str, str]
"""Kind and name of what was asked."""


@dataclass(frozen=True)
class ConditionLine:
    """One style or voice in one mode: who says how much of the speech has it, before and after."""

    asked: str
    mode: str
    texts: int
    cells: list[tuple[str, str]]
    """Value and interval, two for each head: before and after."""


@dataclass(frozen=True)
class ConditionTable:
    """The styles, or the voices, of one suite."""

    kind: str
    heads: list[str]
    lines: list[ConditionLine]


def condition_tables(before: EvaluationReport, after: EvaluationReport) -> list[ConditionTable]:
    """Of two evaluations that were made alike; none where nothing asked for was heard."""
    return [table for kind in ("style", "voice") for table in _table(kind, before, after)]


def _table(
    kind: str, before: EvaluationReport, after: EvaluationReport
) -> Iterator[ConditionTable]:
    sides = [
        {mode: {c.asked: c for c in found.conditions if c.kind == kind} for mode, found in side}
        for side in (before.modes.items(), after.modes.items())
    ]
    judges = list(after.styles) if kind == "style" else [SPEAKER]
    lines = [
        ConditionLine(
            asked if kind == "style" else PurePath(asked).name,
            mode,
            now.texts,
            [*_cells(judges, sides[0].get(mode, {}).get(asked), now)],
        )
        for mode, conditions in sides[1].items()
        for asked, now in conditions.items()
    ]
    if not lines:
        return
    heads = [
        f"{name}{' (gave the reward)' if after.styles.get(name) else ''}: share in the asked {kind}"
        for name in judges
    ]
    yield ConditionTable(kind, [*heads, f"CER, {after.verdict_judge.name}"], lines)


def _cells(
    judges: list[str], was: ConditionSummary | None, now: ConditionSummary
) -> Iterator[tuple[str, str]]:
    for name in judges:
        yield _cell(was and was.as_asked.get(name))
        yield _cell(now.as_asked.get(name))
    yield _cell(was and was.cer)
    yield _cell(now.cer)


def _cell(interval: Interval | None) -> tuple[str, str]:
    if interval is None:
        return "", ""
    return percent(interval.value), f"{percent(interval.low)} to {percent(interval.high)}"
