"""An evaluation's rows by the style and the voice that was asked for. Pure: no model."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal

import numpy as np

from ttsrl.evaluation.bootstrap import paired_bootstrap
from ttsrl.evaluation.summary import mean_by_text
from ttsrl.records.evaluation import ConditionSummary, EvaluationRow, Interval, StyleVerdict

SPEAKER = "speaker"
"""Name of the voices' judge in `ConditionSummary.as_asked`."""
Z_95 = 1.959964
"""Of the normal distribution."""


def conditions_in(rows: Sequence[EvaluationRow], judge: str) -> Iterator[ConditionSummary]:
    """Each style and each voice that was asked for and listened to, of the rows of one mode.

    `judge`: whose CER is told.
    """
    by_style: dict[str, list[EvaluationRow]] = {}
    by_voice: dict[str, list[EvaluationRow]] = {}
    for row in rows:
        if row.style is not None and row.styles:
            by_style.setdefault(row.style, []).append(row)
        if row.voice is not None and row.nearest_voice is not None:
            by_voice.setdefault(row.voice.audio, []).append(row)
    for style, of_style in sorted(by_style.items()):
        names = dict.fromkeys(name for row in of_style for name in row.styles)
        agreeing = {name: _agreement(name) for name in names}
        yield _summary("style", style, of_style, judge, agreeing)
    for audio, of_voice in sorted(by_voice.items()):
        yield _summary("voice", audio, of_voice, judge, {SPEAKER: _has_its_voice})


def _agreement(name: str) -> Callable[[EvaluationRow], float | None]:
    def of(row: EvaluationRow) -> float | None:
        found = row.styles.get(name, StyleVerdict()).as_asked
        return None if found is None else float(found)

    return of


def _has_its_voice(row: EvaluationRow) -> float | None:
    return float(row.voice is not None and row.nearest_voice == row.voice.sha256)


def _summary(
    kind: Literal["style", "voice"],
    asked: str,
    rows: Sequence[EvaluationRow],
    judge: str,
    agreeing: Mapping[str, Callable[[EvaluationRow], float | None]],
) -> ConditionSummary:
    return ConditionSummary(
        kind=kind,
        asked=asked,
        texts=len({row.index for row in rows}),
        utterances=len(rows),
        as_asked={
            name: wilson([*mean_by_text(rows, value).values()]) for name, value in agreeing.items()
        },
        cer=_mean([*mean_by_text(rows, lambda row: row.judges[judge].cer).values()]),
        similarity=_mean([*mean_by_text(rows, lambda row: row.similarity).values()])
        if kind == "voice"
        else None,
    )


def wilson(shares: Sequence[float]) -> Interval | None:
    """Mean of the texts' shares, with Wilson's 95 % interval for as many trials as texts.

    It is not empty where all agree, as a bootstrap's would be. Wilson, JASA 22 (1927). None for no
    texts.
    """
    if not shares:
        return None
    n, share = len(shares), float(np.mean(shares))
    spread = Z_95 * math.sqrt(share * (1 - share) / n + Z_95**2 / (4 * n**2))
    low, high = (
        (share + Z_95**2 / (2 * n) + sign * spread) / (1 + Z_95**2 / n) for sign in (-1, 1)
    )
    return Interval(value=share, low=max(0.0, low), high=min(1.0, high))


def _mean(values: Sequence[float]) -> Interval | None:
    """Mean over texts with a bootstrap's interval; None for no texts."""
    if not values:
        return None
    found = paired_bootstrap(values, values).before
    return Interval(value=found.value, low=found.low, high=found.high)
