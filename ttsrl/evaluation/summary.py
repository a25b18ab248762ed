"""Rows of an evaluation -> numbers. Pure: no model, no waveform."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from statistics import fmean

from ttsrl.records.evaluation import EvaluationRow, JudgeSummary, ModeSummary
from ttsrl.text.normalise import normalise


def summarise(rows: Sequence[EvaluationRow], judges: Iterable[str]) -> ModeSummary:
    """Numbers of one mode: rows of all its seeds -> rates, means, error rates for each judge."""
    return ModeSummary(
        utterances=len(rows),
        end_token_rate=fmean(row.finished for row in rows),
        mean_duration_s=fmean(row.duration_s for row in rows),
        mean_tokens=fmean(row.tokens for row in rows),
        mean_similarity=_mean(mean_by_text(rows, lambda row: row.similarity).values()),
        mean_quality={
            name: _mean(mean_by_text(rows, lambda row, name=name: row.quality.get(name)).values())
            for name in dict.fromkeys(name for row in rows for name in row.quality)
        },
        judges={name: _of_judge(rows, name) for name in judges},
    )


def mean_by_text(
    rows: Iterable[EvaluationRow], value: Callable[[EvaluationRow], float | None]
) -> dict[int, float]:
    """Mean of a value over a text's utterances, by the text's index; Nones are left out."""
    values: dict[int, list[float]] = {}
    for row in rows:
        if (one := value(row)) is not None:
            values.setdefault(row.index, []).append(one)
    return {index: fmean(several) for index, several in sorted(values.items())}


def _of_judge(rows: Sequence[EvaluationRow], name: str) -> JudgeSummary:
    heard = [
        (cer, len(normalise(row.text, row.language)))
        for row in rows
        if (cer := row.judges[name].cer) is not None
    ]
    return JudgeSummary(
        mean_cer=_mean(mean_by_text(rows, lambda row: row.judges[name].cer).values()),
        mean_wer=_mean(mean_by_text(rows, lambda row: row.judges[name].wer).values()),
        corpus_cer=sum(cer * n for cer, n in heard) / sum(n for _, n in heard) if heard else None,
        exact_share=fmean(cer == 0 for cer, _ in heard) if heard else None,
        cut=sum(row.judges[name].cut for row in rows if row.judges[name].cer is not None),
        errors=len(rows) - len(heard),
    )


def _mean(values: Collection[float]) -> float | None:
    return fmean(values) if values else None
