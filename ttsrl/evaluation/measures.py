"""What guards see of an evaluation: its figures by name, and how they differ from the base's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from ttsrl.config.schema import RunConfig
from ttsrl.evaluation.adaptation import adaptations
from ttsrl.evaluation.bootstrap import paired_bootstrap
from ttsrl.evaluation.summary import mean_by_text
from ttsrl.guards.measures import EVALUATION
from ttsrl.records.evaluation import SAMPLED, EvaluationReport, EvaluationRow

Evaluated = tuple[EvaluationReport, Sequence[EvaluationRow]]


def measures_of(
    run: RunConfig, suite: str, after: Evaluated, before: Evaluated
) -> dict[str, float]:
    """Measure -> value, of sampled speech; `before` is the policy before training.

    Names are those of `ttsrl.guards.measures.measures_of_evaluations`. A change has a 95 % interval
    over texts, and is there only where both evaluations were made alike.
    """
    found = dict(_figures(after[0]))
    if after[0].identity.protocol == before[0].identity.protocol:
        found |= dict(_changes(run, after, before))
    return {f"{EVALUATION}{suite}.{name}": value for name, value in found.items()}


def _figures(report: EvaluationReport) -> Iterator[tuple[str, float]]:
    mode = report.modes[SAMPLED]
    heard = mode.judges[report.verdict_judge.name]
    figures = {
        "cer": heard.mean_cer,
        "wer": heard.mean_wer,
        "end_token_rate": mode.end_token_rate,
        "duration_s": mode.mean_duration_s,
        "similarity": mode.mean_similarity,
        **{f"quality.{name}": value for name, value in mode.mean_quality.items()},
        **{f"cer.{name}": judge.mean_cer for name, judge in mode.judges.items()},
    }
    yield from ((name, value) for name, value in figures.items() if value is not None)


def _changes(run: RunConfig, after: Evaluated, before: Evaluated) -> Iterator[tuple[str, float]]:
    judge = after[0].verdict_judge.name
    values: dict[str, Callable[[EvaluationRow], float | None]] = {
        "cer": lambda row: row.judges[judge].cer,
        **{
            f"quality.{name}": lambda row, name=name: row.quality.get(name)
            for name in after[0].modes[SAMPLED].mean_quality
        },
    }
    settings = {"samples": run.eval.bootstrap_samples, "seed": run.seed}
    for name, value in values.items():
        sides = [mean_by_text(_sampled(rows), value) for _, rows in (before, after)]
        if both := sorted(sides[0].keys() & sides[1].keys()):
            change = paired_bootstrap(
                *([side[text] for text in both] for side in sides), **settings
            ).difference
            yield f"{name}_change", change.value
            yield f"{name}_change_low", change.low
            yield f"{name}_change_high", change.high
    for figure in adaptations(*after, *before, **settings):
        if figure.mode == SAMPLED:
            yield "adaptation", figure.adaptation.value
            yield "adaptation_low", figure.adaptation.low
            yield "adaptation_high", figure.adaptation.high
            break


def _sampled(rows: Sequence[EvaluationRow]) -> list[EvaluationRow]:
    return [row for row in rows if row.mode == SAMPLED]
