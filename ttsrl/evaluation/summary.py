"""Rows of an evaluation -> numbers. Pure: no model, no waveform."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from ttsrl.text.normalise import normalise

Row = Mapping[str, Any]
"""One line of rows.jsonl, as `ttsrl.evaluation.evaluate` writes it."""


def summarise(rows: Sequence[Row], judges: Iterable[str]) -> dict[str, Any]:
    """Numbers of one mode: rows of all its seeds -> rates, means, error rates for each judge."""
    return {
        "utterances": len(rows),
        "end_token_rate": fmean(row["finished"] for row in rows),
        "mean_duration_s": fmean(row["duration_s"] for row in rows),
        "mean_tokens": fmean(row["tokens"] for row in rows),
        "mean_similarity": _mean(mean_by_text(rows, lambda row: row["similarity"]).values()),
        "judges": {name: _of_judge(rows, name) for name in judges},
    }


def mean_by_text(rows: Iterable[Row], value: Callable[[Row], float | None]) -> dict[int, float]:
    """Mean of a value over a text's utterances, by the text's index; Nones are left out."""
    values: dict[int, list[float]] = {}
    for row in rows:
        if (one := value(row)) is not None:
            values.setdefault(row["index"], []).append(one)
    return {index: fmean(several) for index, several in sorted(values.items())}


def _of_judge(rows: Sequence[Row], name: str) -> dict[str, Any]:
    """Means are over texts, as Seed-TTS-eval and CV3-Eval have it; corpus CER is all edits over all
    reference characters."""
    heard = [row for row in rows if row["judges"][name]["cer"] is not None]
    verdicts = [row["judges"][name] for row in heard]
    characters = [len(normalise(row["text"], row["language"])) for row in heard]
    edits = sum(v["cer"] * n for v, n in zip(verdicts, characters, strict=True))
    cers, wers = (
        mean_by_text(rows, lambda row, rate=rate: row["judges"][name][rate]).values()
        for rate in ("cer", "wer")
    )
    return {
        "mean_cer": _mean(cers),
        "mean_wer": _mean(wers),
        "corpus_cer": edits / sum(characters) if heard else None,
        "exact_share": fmean(v["cer"] == 0 for v in verdicts) if heard else None,
        "cut": sum(v["cut"] for v in verdicts),
        "errors": len(rows) - len(heard),
    }


def _mean(values: Collection[float]) -> float | None:
    return fmean(values) if values else None
