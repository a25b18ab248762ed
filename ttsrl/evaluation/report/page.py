"""A run's folder -> report.html: the table's words and the template's values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ttsrl.config.load import dump_run
from ttsrl.evaluation.bootstrap import Estimate
from ttsrl.evaluation.report.adapted import adaptation_between, adaptation_of, gain, points
from ttsrl.evaluation.report.beside import beside_training
from ttsrl.evaluation.report.charts import Mark, interval_chart
from ttsrl.evaluation.report.comparison import (
    Compared,
    Comparison,
    Metric,
    change_of,
    compare,
    compare_evaluations,
    direction,
    percent,
    shown_in,
)
from ttsrl.evaluation.report.conditions import ConditionTable, condition_tables
from ttsrl.evaluation.report.curves import percent_0, step_time, training_curves
from ttsrl.evaluation.report.headline import headline
from ttsrl.evaluation.report.inputs import RunFolder, read_run_folder
from ttsrl.evaluation.report.listening import Recorder, before_and_after, rollouts
from ttsrl.evaluation.report.provenance import provenance
from ttsrl.records.evaluation import SAMPLED, AdaptationFigure, EvaluationReport, Interval
from ttsrl.storage.atomic import replace_text

EVALUATION_AUDIO_BYTES = 3_200_000
ROLLOUT_AUDIO_BYTES = 1_000_000


@dataclass(frozen=True)
class Cell:
    """One cell of the table; `kind` is its CSS class."""

    value: str
    detail: str = ""
    kind: str = ""


@dataclass(frozen=True)
class TableRow:
    """One line of the table: before, after, change, in each mode."""

    label: str
    note: str
    cells: list[Cell]


def write_report(work_dir: Path) -> Path:
    """Write `report.html` into a run's folder; returns its path. Raises BadInput."""
    folder = read_run_folder(work_dir)
    out = work_dir / "report.html"
    replace_text(out, render(folder))
    return out


def log_report(work_dir: Path) -> None:
    """`write_report` as a job, whose log names the page."""
    print(write_report(work_dir))


def render(folder: RunFolder) -> str:
    """The page; parts of the run that are missing are missing from it."""
    here = Path(__file__).parent
    environment = Environment(
        loader=FileSystemLoader(here),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    comparison = compare(folder)
    return environment.get_template("page.html").render(
        run=folder.run,
        css=Markup((here / "page.css").read_text(encoding="utf-8")),
        verdict=headline(folder, comparison),
        facts=_facts(folder),
        comparison=comparison,
        intervals=_intervals(folder, comparison),
        heads=heads_of(comparison),
        table=list(table_of(comparison)),
        table_note=table_note_of(folder, comparison),
        adaptation=adaptation_rows(adaptation_of(folder)),
        conditions=_conditions(folder, comparison),
        suites=list(_suites(folder)),
        choice=folder.choice,
        llm_words=folder.llm_choice.words if folder.llm_choice else [],
        chosen=_chosen(folder),
        judge=folder.judge,
        spoken=before_and_after(folder, Recorder(EVALUATION_AUDIO_BYTES)),
        beside=beside_training(folder),
        guards=_guards(folder),
        curves=training_curves(folder),
        time=step_time(folder),
        rollouts=rollouts(folder, Recorder(ROLLOUT_AUDIO_BYTES)),
        provenance=provenance(folder.run),
        configuration=dump_run(folder.run),
    )


@dataclass(frozen=True)
class GuardsShown:
    """What the page says of the guards."""

    armed: str
    said: list[str]
    """A line per event."""
    best: str
    """Which model to use, and why; empty where none is known."""


def _guards(folder: RunFolder) -> GuardsShown | None:
    """None where the run has not trained."""
    if not folder.steps:
        return None
    words = folder.armed.words
    said = [event.said for event in folder.guards]
    best = folder.best.why if folder.best else ""
    return GuardsShown(words[0].upper() + words[1:], said, best)


def _facts(folder: RunFolder) -> str:
    run = folder.run
    rollouts = run.train.prompts_per_step * run.rollout.group_size
    return (
        f"{len(folder.steps)} of {run.train.steps} steps, each of {run.train.prompts_per_step} "
        f"prompts × {run.rollout.group_size} = {rollouts} rollouts; family {run.family}; reward of "
        f"{' and '.join(component.type.upper() for component in run.reward.components)}."
    )


def _intervals(folder: RunFolder, comparison: Comparison | None) -> Markup | None:
    if comparison is None:
        return None
    rows = [
        (f"{judge.name}, {mode}", [_mark(kind, getattr(found.result, kind)) for kind in kinds])
        for judge in folder.run.eval.judges
        for mode in comparison.modes
        if (found := comparison.of(f"cer/{judge.name}", mode))
        for kinds in [("before", "after")]
    ]
    return interval_chart(rows, percent_0) if rows else None


def _chosen(folder: RunFolder) -> Markup | None:
    """The shares of listeners and of an audio-LLM beside chance, on the scale from 0 to 1."""
    rows: list[tuple[str, list[Mark]]] = []
    if (choice := folder.choice) is not None:
        rows.append(("listeners", [Mark("after", choice.share, choice.low, choice.high)]))
    llm = folder.llm_choice
    if llm is not None and llm.share is not None and llm.low is not None and llm.high is not None:
        rows.append((llm.served_model, [Mark("after", llm.share, llm.low, llm.high)]))
    if not rows:
        return None
    return interval_chart([*rows, ("chance", [Mark("before", 0.5, 0.5, 0.5)])], percent_0)


def _mark(kind: str, estimate: Estimate) -> Mark:
    return Mark(kind, estimate.value, estimate.low, estimate.high)


def table_of(comparison: Comparison | None) -> Iterator[TableRow]:
    """The lines of the table; none where nothing was compared."""
    for metric, by_mode in comparison.rows if comparison else []:
        cells = [cell for compared in by_mode.values() for cell in _cells(metric, compared)]
        yield TableRow(metric.label, metric.note, cells)


def adaptation_rows(figures: Iterable[AdaptationFigure]) -> list[TableRow]:
    """A line for each kin judge and mode: its gain, the unlike judge's, and the difference."""
    return [
        TableRow(
            f"{figure.kin} against {figure.unlike}",
            f"{figure.mode} speech, {figure.texts} texts",
            [
                _interval_cell(figure.kin_gain, gain),
                _interval_cell(figure.unlike_gain, gain),
                _interval_cell(
                    figure.adaptation, points, "worse" if figure.adaptation.low > 0 else ""
                ),
            ],
        )
        for figure in figures
    ]


def _interval_cell(interval: Interval, write: Callable[[float], str], kind: str = "") -> Cell:
    return Cell(write(interval.value), f"{write(interval.low)} to {write(interval.high)}", kind)


def heads_of(comparison: Comparison | None) -> list[str]:
    """What stands above the columns of each mode."""
    if comparison is None:
        return []
    settings = f", {comparison.sampling}" if comparison.sampling else ""
    return [
        f"Sampled{settings}" if mode == SAMPLED else mode.capitalize() for mode in comparison.modes
    ]


def _conditions(folder: RunFolder, comparison: Comparison | None) -> list[ConditionTable]:
    if folder.before is None or folder.after is None or not comparison or not comparison.comparable:
        return []
    return condition_tables(folder.before.report, folder.after.report)


def _suites(
    folder: RunFolder,
) -> Iterator[tuple[str, str, list[str], list[TableRow], list[ConditionTable], list[TableRow]]]:
    """(name, what was done, heads, table, conditions, adaptation) of each suite that was evaluated
    twice."""
    for before, after in folder.suites:
        bootstrap = {"samples": folder.run.eval.bootstrap_samples, "seed": folder.run.seed}
        comparison = compare_evaluations(before, after, **bootstrap)
        note = f"{before.report.texts} texts; 95 % intervals by a paired bootstrap over them."
        if comparison.comparable:
            judge = after.report.verdict_judge.name
            note = " ".join([note, *_corpus_rates(judge, before.report, after.report)])
        else:
            note = "The two evaluations differ in texts, settings or judges: evaluate both again."
        adapted = adaptation_rows(adaptation_between(before, after, **bootstrap))
        heads, table = heads_of(comparison), list(table_of(comparison))
        asked = condition_tables(before.report, after.report) if comparison.comparable else []
        yield before.report.suite, note, heads, table, asked, adapted


def _corpus_rates(judge: str, before: EvaluationReport, after: EvaluationReport) -> Iterator[str]:
    """The rate that the CosyVoice2 tutorials report, beside the mean over texts."""
    for mode in before.modes:
        was, now = (side.modes[mode].judges[judge].corpus_cer for side in (before, after))
        if was is not None and now is not None:
            yield (
                f"All edits over all characters ({judge}, {mode}): {percent(was)} before, "
                f"{percent(now)} after."
            )


def _cells(metric: Metric, compared: Compared | None) -> list[Cell]:
    if compared is None:
        return [Cell("failed"), Cell("failed"), Cell("")]
    result = compared.result

    def shown(value: float) -> str:
        return shown_in(metric.unit, value)

    def interval(estimate: Estimate) -> str:
        return f"{shown(estimate.low)} to {shown(estimate.high)}"

    effect = metric.better * direction(result)
    cells = [
        Cell(shown(result.before.value), interval(result.before)),
        Cell(shown(result.after.value), interval(result.after)),
    ]
    change, write = change_of(metric, result)
    if change is None:
        return [*cells, Cell("")]
    detail = f"{write(change.low)} to {write(change.high)}"
    return [*cells, Cell(write(change.value), detail, ["", "better", "worse"][effect])]


def table_note_of(folder: RunFolder, comparison: Comparison | None) -> str:
    """What the intervals are, the corpus CER, and every measurement that the table lacks."""
    before, after = folder.before, folder.after
    if before is None or after is None or not comparison or not comparison.rows:
        return ""
    texts, seeds = before.report.texts, len(folder.run.eval.seeds)
    sides = before.report.modes, after.report.modes
    sentences = [
        f"Means over {texts} texts ({seeds} sampled utterance{'s' if seeds > 1 else ''} a text); "
        "95 % intervals by a paired bootstrap over texts."
    ]
    names = [judge.name for judge in folder.run.eval.judges]
    sentences += _corpus_rates(folder.judge, before.report, after.report)
    for name in names:
        heard = [[side[mode].judges[name] for mode in comparison.modes] for side in sides]
        for words, counts in (
            ("failed on", [sum(one.errors for one in side) for side in heard]),
            ("heard only the beginning of", [sum(one.cut for one in side) for side in heard]),
        ):
            if any(counts):
                sentences.append(
                    f"{name} {words} {counts[0]} utterances before and {counts[1]} after."
                )
    return " ".join(sentences)
