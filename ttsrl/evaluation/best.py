"""best.json: which of a run's evaluated models to use."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ttsrl.config.schema import RunConfig
from ttsrl.evaluation.adaptation import adaptations
from ttsrl.evaluation.bootstrap import Estimate, paired_bootstrap
from ttsrl.evaluation.published_measures import BEFORE, PublishedMeasures
from ttsrl.evaluation.report.comparison import in_points, percent
from ttsrl.evaluation.summary import mean_by_text
from ttsrl.guards.armed import broken
from ttsrl.guards.history import History
from ttsrl.models.kinship import as_said_now
from ttsrl.records.best import BEST, BestModel
from ttsrl.records.evaluation import GREEDY, REPORT, ROWS, SAMPLED, EvaluationReport, EvaluationRow
from ttsrl.records.record import parse, read_lines, to_text
from ttsrl.records.step import TrainingStep
from ttsrl.storage.atomic import replace_text
from ttsrl.storage.run_store import RunStore


@dataclass(frozen=True)
class _Ranking:
    """Models of a run, as one list of texts tells them apart."""

    folder: str
    """Of the evaluations, below `eval/`."""
    before: EvaluationReport
    reports: dict[int, EvaluationReport]
    cer_of: dict[int, float]
    """Step -> CER, of models that may be chosen."""
    left_out: dict[int, list[str]]
    """Step -> guards that it broke."""

    @property
    def best(self) -> int | None:
        """Of equal models the earlier one, as it moved less from where it began."""
        return min(self.cer_of, key=lambda step: (self.cer_of[step], step), default=None)

    def why(self, best: int, change: Estimate | None) -> str:
        """What makes a step the best, in a sentence for people."""
        of = len(self.cer_of)
        told = f"step {best} has the lowest held-out CER of {of} model{'s' * (of > 1)} that may be "
        told += f"chosen: {percent(self.cer_of[best])} ({self.before.verdict_judge.name}, "
        told += f"{self.before.texts} texts of {self.folder})"
        if change is not None:
            low, high = in_points(change.low), in_points(change.high)
            told += f", {in_points(change.value)} points against the base "
            told += f"(95 % interval {low} to {high})"
        broke = [f"step {step} ({', '.join(by)})" for step, by in self.left_out.items()]
        return told + (f"; left out, as a guard was broken: {', '.join(broke)}" if broke else "")


def best_checkpoint(run: RunConfig, store: RunStore, folder: str) -> int | None:
    """Step of the best checkpoint, whether or not its model is published; None where there is none.

    `folder` has its evaluations. Raises BadInput, StorageError.
    """
    ranking = _rank(run, store, folder, store.list_evaluated(folder))
    return ranking and ranking.best


def point_to_best(run: RunConfig, store: RunStore, suite: str, work_dir: Path) -> int | None:
    """Point to the model with the lowest mean CER of sampled speech by the verdict's judge.

    It is the one most unlike the reward (`ttsrl.models.kinship`). Models are compared by the
    evaluations that most of them have: of the whole suite, or those beside training. Only models
    whose evaluation can be compared with that of the policy before training take part, and none of
    a step at which a guard was broken. The pointer tells by how much the best differs from that
    policy, with the 95 % interval, so that a best model that is not better than the base can be
    seen, and how much of the gain only the reward's kin hears. It is in `work_dir`/best.json, too.
    Returns the best one's step, or None.
    """
    folder, steps = _of_most_models(run, store, suite)
    ranking = _rank(run, store, folder, steps)
    if ranking is None:
        return None
    best = ranking.best
    if best is None:
        for step, guards in ranking.left_out.items():
            print(f"step {step} is not the best: guard {', '.join(guards)}", flush=True)
        store.storage.delete(store.best)
        (work_dir / BEST).unlink(missing_ok=True)
        return None
    scores, change = _scores(run, store, ranking, best, work_dir)
    judge = ranking.before.verdict_judge
    pointer = BestModel(
        step=best,
        model=store.model(best),
        suite=folder,
        judge={"name": judge.name, "kinship": judge.relation},
        scores=scores,
        left_out={str(step): guards for step, guards in ranking.left_out.items()},
        why=ranking.why(best, change),
    )
    store.write_best(pointer)
    replace_text(work_dir / BEST, to_text(pointer))
    return best


def _of_most_models(run: RunConfig, store: RunStore, suite: str) -> tuple[str, list[int]]:
    """The evaluations that most published models have, and those models; of equals the suite's."""
    models = set(store.list_models())
    during = run.eval.during_training
    folders = [suite, *([during.folder] if during and during.suite == suite else [])]
    found = {
        folder: [step for step in store.list_evaluated(folder) if step in models]
        for folder in folders
    }
    folder = max(folders, key=lambda name: len(found[name]))
    return folder, found[folder]


def _rank(run: RunConfig, store: RunStore, folder: str, steps: Iterable[int]) -> _Ranking | None:
    """None where the policy before training was not evaluated."""
    if BEFORE not in store.list_evaluated(folder):
        return None
    before = as_said_now(run, _report(store, folder, BEFORE))
    judge = before.verdict_judge.name
    set_backs = store.set_backs()
    of_steps = [step for step in steps if step != BEFORE]
    reports = {step: as_said_now(run, _report(store, folder, step)) for step in of_steps}
    cer_of = {
        step: cer
        for step, report in reports.items()
        if report.identity.protocol == before.identity.protocol
        and not set_backs.gave_up(step, report.rollbacks)
        and (cer := report.modes[SAMPLED].judges[judge].mean_cer) is not None
    }
    left_out = _left_out(run, store, cer_of)
    cer_of = {step: cer for step, cer in cer_of.items() if step not in left_out}
    return _Ranking(folder, before, reports, cer_of, left_out)


def _scores(
    run: RunConfig, store: RunStore, ranking: _Ranking, best: int, work_dir: Path
) -> tuple[dict[str, float | None], Estimate | None]:
    """Figures of the best, and its change against the base."""
    judge, report = ranking.before.verdict_judge.name, ranking.reports[best]
    rows = [_rows(store, ranking.folder, step, work_dir) for step in (BEFORE, best)]
    sides = [mean_by_text(side, lambda row: row.judges[judge].cer) for side in rows]
    both = sorted(sides[0].keys() & sides[1].keys())
    scores: dict[str, float | None] = {"cer": ranking.cer_of[best]}
    settings = {"samples": run.eval.bootstrap_samples, "seed": run.seed}
    change = None
    if greedy := report.modes.get(GREEDY):
        scores["cer_greedy"] = greedy.judges[judge].mean_cer
    if both:
        values = ([side[index] for index in both] for side in sides)
        compared = paired_bootstrap(*values, **settings)
        change = compared.difference
        scores |= {
            "cer_before": compared.before.value,
            "cer_change": change.value,
            "cer_change_low": change.low,
            "cer_change_high": change.high,
        }
    for figure in adaptations(report, rows[1], ranking.before, rows[0], **settings)[:1]:
        limits = figure.adaptation
        scores |= {"adaptation": limits.value}
        scores |= {"adaptation_low": limits.low, "adaptation_high": limits.high}
    return scores, change


def _left_out(run: RunConfig, store: RunStore, steps: Iterable[int]) -> dict[int, list[str]]:
    """Of these steps the ones that broke a guard, and which: as the whole suite tells, and as the
    evaluations beside training do."""
    log = store.storage.read_text(store.steps_log) or ""
    place = store.storage.address(store.steps_log)
    bad: dict[int, list[str]] = {}
    for during in (False, *([True] if run.eval.during_training else [])):
        history = History(run.guards.base_steps)
        for line in log.splitlines():
            history.add_step(parse(TrainingStep, line, place))
        published = PublishedMeasures(run, store, during_training=during)
        for step, measures in published.look().items():
            history.add_evaluation(step, measures)
        for step, guards in broken(run, history).items():
            bad[step] = list(dict.fromkeys([*bad.get(step, []), *guards]))
    return {step: bad[step] for step in sorted(steps) if step in bad}


def _report(store: RunStore, suite: str, step: int) -> EvaluationReport:
    key = f"{store.eval(suite, step)}/{REPORT}"
    text = store.storage.read_text(key)
    assert text is not None, "a complete evaluation has its report"
    return parse(EvaluationReport, text, store.storage.address(key))


def _rows(store: RunStore, suite: str, step: int, work_dir: Path) -> list[EvaluationRow]:
    """Of sampled speech."""
    folder = work_dir / "best" / f"step_{step:06d}"
    store.storage.pull(
        store.eval(suite, step), folder, replace=True, wanted=lambda path: path == ROWS
    )
    return [row for row in read_lines(EvaluationRow, folder / ROWS) if row.mode == SAMPLED]
