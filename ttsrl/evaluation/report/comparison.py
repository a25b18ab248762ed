"""Before against after, with intervals, and the sentence that says what GRPO changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ttsrl.config.evaluation import HELD_OUT
from ttsrl.evaluation.bootstrap import Estimate, PairedBootstrap, paired_bootstrap
from ttsrl.evaluation.report.adapted import adaptation_of, told
from ttsrl.evaluation.report.inputs import Evaluation, RunFolder
from ttsrl.evaluation.summary import mean_by_text
from ttsrl.records.during import MetricChange
from ttsrl.records.evaluation import (
    GREEDY,
    SAMPLED,
    EvaluationReport,
    EvaluationRow,
    Kinship,
    Verdict,
)
from ttsrl.records.sampling import Sampling

RATES: dict[str, Callable[[Verdict], float | None]] = {
    "wer": lambda verdict: verdict.wer,
    "cer": lambda verdict: verdict.cer,
}
"""Error rates in the order of the table."""


_INDEPENDENCE: dict[Kinship, str] = {
    "same": "gave the reward: its number shows over-fitting, not quality",
    "kin": "gave no reward, and is kin to what gave it",
    "unknown": "gave no reward; what it descends from is not known",
    "unlike": "independent of the reward",
}
"""What a measure says of the speech, by how it is related to the reward."""


_MEASURED_BY: dict[Kinship, str] = {
    "unlike": "As measured by {}, which is independent of the reward, GRPO",
    "unknown": "As measured by {}, which gave no reward and may be kin to what gave it, GRPO",
    "kin": "As measured by {}, which is kin to what gave the reward, GRPO",
    "same": "As measured by {}, which gave the reward itself, GRPO",
}
"""How the verdict begins, by how its judge is related to the reward."""
_CAUTION: dict[Kinship, str] = {
    "unknown": "What the judge descends from is not known: let the run say it (lineage of a judge "
    "in eval.judges), or add a judge whose descent is known.",
    "kin": "Every judge is kin to what gave the reward, and may hear an improvement that others do "
    "not: add a judge of another lineage.",
}
"""What is to be known of a verdict that rests on no unlike judge."""


@dataclass(frozen=True)
class Metric:
    """One line of the table."""

    key: str
    label: str
    note: str
    unit: str
    """`share` (shown in percent), `cosine`, `opinion` or `s`."""
    change: str
    """How to say a change: `relative`, in `points` of a share, or as a `difference`."""
    better: int
    """1 where more is better, -1 where less is, 0 where neither."""
    value: Callable[[EvaluationRow], float | None]
    """A row's value; None where it has none."""


@dataclass(frozen=True)
class Compared:
    """A metric of one mode, over the texts that have it before and after."""

    result: PairedBootstrap
    texts: int
    left_out: int
    """Texts without a value before or after, because a judge failed."""


@dataclass(frozen=True)
class Comparison:
    """The table: each metric with its result in each mode."""

    rows: list[tuple[Metric, dict[str, Compared | None]]]
    comparable: bool
    """Both evaluations spoke the same texts with the same settings and judges; else no rows."""
    modes: tuple[str, ...] = ()
    """How the texts were spoken: sampled, and greedy where it was asked for."""
    sampling: Sampling | None = None
    """Of the sampled speech."""

    def of(self, key: str, mode: str) -> Compared | None:
        return next(by_mode[mode] for metric, by_mode in self.rows if metric.key == key)


def compare(folder: RunFolder) -> Comparison | None:
    """Compare the two evaluations of the held-out texts; None where one is missing."""
    if folder.before is None or folder.after is None:
        return None
    return compare_evaluations(
        folder.before,
        folder.after,
        samples=folder.run.eval.bootstrap_samples,
        seed=folder.run.seed,
    )


def compare_evaluations(
    before: Evaluation, after: Evaluation, *, samples: int, seed: int
) -> Comparison:
    """Every metric of two evaluations of one suite, paired by text."""
    if before.report.identity.protocol != after.report.identity.protocol:
        return Comparison([], comparable=False)
    modes = tuple(before.report.modes)
    rows = [
        (
            metric,
            {mode: _compare(before, after, mode, metric, samples, seed) for mode in modes},
        )
        for metric in metrics(before.report)
    ]
    return Comparison(rows, True, modes, before.report.sampling)


def metrics(report: EvaluationReport) -> list[Metric]:
    """Error rates of each judge, then what does not depend on a judge.

    For the held-out texts the CER alone; for a suite also its authors' WER, and before it.
    """
    of_suite = report.suite != HELD_OUT
    rows = [
        Metric(
            f"{rate}/{judge.name}",
            f"{rate.upper()}, {judge.name}",
            _INDEPENDENCE[judge.relation],
            "share",
            "relative",
            -1,
            lambda row, name=judge.name, rate_of=rate_of: rate_of(row.judges[name]),
        )
        for judge in report.judges
        for rate, rate_of in RATES.items()
        if of_suite or rate == "cer"
    ]
    rows += [
        Metric(
            f"style/{name}",
            f"Style as asked, {name}",
            _INDEPENDENCE["same"] if used else "gave no reward",
            "share",
            "points",
            1,
            lambda row, name=name: _as_asked(row, name),
        )
        for name, used in report.styles.items()
        if any(mode.conditions for mode in report.modes.values())
    ]
    if any(mode.mean_similarity is not None for mode in report.modes.values()):
        rows.append(
            Metric(
                "similarity",
                "Speaker similarity",
                "cosine with the voice prompt",
                "cosine",
                "difference",
                1,
                lambda row: row.similarity,
            )
        )
    rows += [
        Metric(
            f"quality/{name}",
            f"Opinion score, {name}",
            _INDEPENDENCE["same" if used else "unlike"],
            "opinion",
            "difference",
            1,
            lambda row, name=name: row.quality.get(name),
        )
        for name, used in report.quality.items()
    ]
    first = report.verdict_judge.name

    def exact(row: EvaluationRow) -> float | None:
        cer = row.judges[first].cer
        return None if cer is None else float(cer == 0)

    return [
        *rows,
        Metric("exact", "Exact transcripts", f"CER of 0, {first}", "share", "points", 1, exact),
        Metric(
            "finished",
            "End-token rate",
            "utterances that the model ended itself",
            "share",
            "points",
            1,
            lambda row: float(row.finished),
        ),
        Metric("duration", "Mean duration", "", "s", "relative", 0, lambda row: row.duration_s),
    ]


def _as_asked(row: EvaluationRow, judge: str) -> float | None:
    found = row.styles.get(judge)
    return None if found is None or found.as_asked is None else float(found.as_asked)


def verdict(folder: RunFolder, comparison: Comparison | None) -> list[str]:
    """Sentences that say what training changed, from the CER of the judge that it rests on."""
    if comparison is None:
        missing = [n for n in ("before", "after") if getattr(folder, n) is None]
        return [
            "What GRPO changed is not known yet: the evaluation "
            f"{' and '.join(missing)} training is missing."
        ]
    if not comparison.comparable:
        return [
            "The two evaluations cannot be compared: their texts, settings or judges differ. "
            "Evaluate both models again with the run's present configuration."
        ]
    assert folder.after is not None, "compared"
    report = folder.after.report
    judge = report.verdict_judge
    heard = {mode: comparison.of(f"cer/{judge.name}", mode) for mode in comparison.modes}
    sampled, greedy = heard[SAMPLED], heard.get(GREEDY)
    if sampled is None or None in heard.values():
        return [f"What GRPO changed is not known: judge {judge.name!r} failed on every text."]
    effect = direction(sampled.result)
    verb = {
        -1: "cut the character error rate",
        1: "raised the character error rate",
        0: "did not measurably change the character error rate:",
    }
    sampling = f" ({comparison.sampling})" if comparison.sampling else ""
    sentence = (
        f"{measured_by(judge.name, judge.relation)} {verb[effect]} {_move(sampled.result)} "
        f"in sampled speech{sampling}"
    )
    if greedy is not None:
        effects = effect, direction(greedy.result)
        again = "" if effects[0] == effects[1] else f"{verb[effects[1]]} "
        sentence += f", and {again}{_move(greedy.result)} in greedy speech"
    sentences = [f"{sentence}, on {sampled.texts} held-out texts."]
    if (
        judge.relation == "unlike"
        and effect >= 0
        and any(
            direction(kin.result) < 0
            for other in report.judges
            if other.relation in ("kin", "same")
            and (kin := comparison.of(f"cer/{other.name}", SAMPLED))
        )
    ):
        sentences.append(
            "The reward's recogniser, or its kin, hears an improvement that the independent judge "
            "does not: the policy may have learnt to please the reward."
        )
    sentences += [told(figure) for figure in adaptation_of(folder)[:1]]
    if judge.relation in _CAUTION:
        sentences.append(_CAUTION[judge.relation])
    return sentences


def measured_by(judge: str, relation: Kinship) -> str:
    """How a sentence begins that rests on a judge."""
    return _MEASURED_BY[relation].format(judge)


def moved_in_points(moved: MetricChange) -> str:
    """A share before and after, with the interval of their difference."""
    change = moved.difference
    return (
        f"from {percent(moved.before.value)} to {percent(moved.after.value)} "
        f"({in_points(change.value)} points; 95 % interval of the difference "
        f"{in_points(change.low)} to {in_points(change.high)})"
    )


def direction(result: PairedBootstrap) -> int:
    """-1 or 1 where the interval of the difference lies below or above 0, else 0."""
    return (result.difference.low > 0) - (result.difference.high < 0)


def percent(value: float, digits: int = 1) -> str:
    """A ratio in percent, with a true minus."""
    return f"{value * 100:.{digits}f} %".replace("-", "−")


def in_points(value: float) -> str:
    """A difference of two ratios in percentage points, with its sign."""
    return f"{value * 100:+.1f}".replace("-", "−")


def signed_percent(value: float) -> str:
    """A relative change in whole percent."""
    return f"{'+' if value > 0 else ''}{percent(value, 0)}"


def shown_in(unit: str, value: float) -> str:
    """A value in its metric's unit."""
    match unit:
        case "share":
            return percent(value)
        case "cosine":
            return f"{value:.3f}".replace("-", "−")
        case "opinion":
            return f"{value:.2f}"
        case _:
            return f"{value:.2f} {unit}"


def change_of(
    metric: Metric, result: PairedBootstrap
) -> tuple[Estimate | None, Callable[[float], str]]:
    """How a metric's change is told: the estimate, None where it has none, and how to write it."""
    match metric.change:
        case "points":
            return result.difference, _signed_points
        case "difference":
            return result.difference, lambda v: f"{v:+.3f}".replace("-", "−")
        case _:
            return result.relative_change, signed_percent


def _signed_points(value: float) -> str:
    return f"{'+' if value > 0 else ''}{value * 100:.1f} pts".replace("-", "−")


def _move(result: PairedBootstrap) -> str:
    move = f"from {percent(result.before.value)} to {percent(result.after.value)}"
    if (change := result.relative_change) is None:
        return move
    low, high = signed_percent(change.low), signed_percent(change.high)
    return f"{move} ({signed_percent(change.value)}; 95 % interval {low} to {high})"


def _compare(
    before: Evaluation, after: Evaluation, mode: str, metric: Metric, samples: int, seed: int
) -> Compared | None:
    by_text = [mean_by_text(side.of_mode(mode), metric.value) for side in (before, after)]
    both = sorted(by_text[0].keys() & by_text[1].keys())
    if not both:
        return None
    result = paired_bootstrap(
        [by_text[0][index] for index in both],
        [by_text[1][index] for index in both],
        samples=samples,
        seed=seed,
    )
    texts = {row.index for side in (before, after) for row in side.of_mode(mode)}
    return Compared(result, len(both), len(texts) - len(both))
