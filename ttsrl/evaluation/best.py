"""best.json: which of a run's evaluated models to use."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ttsrl.config.schema import RunConfig
from ttsrl.evaluation.adaptation import adaptations
from ttsrl.evaluation.bootstrap import paired_bootstrap
from ttsrl.evaluation.published_measures import PublishedMeasures
from ttsrl.evaluation.summary import mean_by_text
from ttsrl.guards.armed import broken
from ttsrl.guards.history import History
from ttsrl.models.kinship import as_said_now
from ttsrl.records.evaluation import GREEDY, REPORT, ROWS, SAMPLED, EvaluationReport, EvaluationRow
from ttsrl.records.record import parse, read_lines
from ttsrl.records.step import TrainingStep
from ttsrl.storage.run_store import RunStore


def point_to_best(run: RunConfig, store: RunStore, suite: str, work_dir: Path) -> int | None:
    """Point to the model with the lowest mean CER of sampled speech by the verdict's judge.

    It is the one most unlike the reward (`ttsrl.models.kinship`). Of equal models the earlier one
    is best, as it moved less from where it began. Only models whose evaluation can be compared with
    that of the policy before training take part; the pointer tells by how much the best differs
    from that policy, with the 95 % interval, so that a best model that is not better than the base
    can be seen, and how much of the gain only the reward's kin hears. A model of a step at which
    a guard was broken takes no part. Returns the best one's step, or None.
    """
    reports = {
        step: as_said_now(run, _report(store, suite, step)) for step in store.list_evaluated(suite)
    }
    before = reports.pop(0, None)
    if before is None:
        return None
    rests_on = before.verdict_judge
    judge = rests_on.name
    cer_of = {
        step: cer
        for step, report in reports.items()
        if report.identity.protocol == before.identity.protocol
        and (cer := report.modes[SAMPLED].judges[judge].mean_cer) is not None
        and store.storage.is_complete(store.model(step))
    }
    left_out = _left_out(run, store, cer_of)
    cer_of = {step: cer for step, cer in cer_of.items() if step not in left_out}
    if not cer_of:
        for step, guards in left_out.items():
            print(f"step {step} is not the best: guard {', '.join(guards)}", flush=True)
        store.storage.delete(store.best)
        return None
    best = min(cer_of, key=lambda step: (cer_of[step], step))
    rows = [_rows(store, suite, step, work_dir) for step in (0, best)]
    sides = [mean_by_text(side, lambda row: row.judges[judge].cer) for side in rows]
    both = sorted(sides[0].keys() & sides[1].keys())
    scores: dict[str, float | None] = {"cer": cer_of[best]}
    if greedy := reports[best].modes.get(GREEDY):
        scores["cer_greedy"] = greedy.judges[judge].mean_cer
    if both:
        compared = paired_bootstrap(
            *([side[index] for index in both] for side in sides),
            samples=run.eval.bootstrap_samples,
            seed=run.seed,
        )
        scores |= {
            "cer_before": compared.before.value,
            "cer_change": compared.difference.value,
            "cer_change_low": compared.difference.low,
            "cer_change_high": compared.difference.high,
        }
    settings = {"samples": run.eval.bootstrap_samples, "seed": run.seed}
    for figure in adaptations(reports[best], rows[1], before, rows[0], **settings)[:1]:
        limits = figure.adaptation
        scores |= {"adaptation": limits.value}
        scores |= {"adaptation_low": limits.low, "adaptation_high": limits.high}
    store.write_best(best, scores, {"name": judge, "kinship": rests_on.relation}, left_out)
    return best


def _left_out(run: RunConfig, store: RunStore, steps: Iterable[int]) -> dict[int, list[str]]:
    """Of these steps the ones that broke a guard, and which."""
    history = History(run.guards.base_steps)
    place = store.storage.address(store.steps_log)
    for line in (store.storage.read_text(store.steps_log) or "").splitlines():
        history.add_step(parse(TrainingStep, line, place))
    for step, measures in PublishedMeasures(run, store, during_training=False).look().items():
        history.add_evaluation(step, measures)
    bad = broken(run, history)
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
