"""best.json: which of a run's evaluated models to use."""

from __future__ import annotations

from pathlib import Path

from ttsrl.config.schema import RunConfig
from ttsrl.evaluation.bootstrap import paired_bootstrap
from ttsrl.evaluation.summary import mean_by_text
from ttsrl.records.evaluation import GREEDY, REPORT, ROWS, SAMPLED, EvaluationReport, EvaluationRow
from ttsrl.records.record import parse, read_lines
from ttsrl.storage.run_store import RunStore


def point_to_best(run: RunConfig, store: RunStore, suite: str, work_dir: Path) -> int | None:
    """Point to the model with the lowest mean CER of sampled speech by the first judge.

    That judge gave no reward. Of equal models the earlier one is best, as it moved less from where
    it began. Only models whose evaluation can be compared with that of the policy before training
    take part; the pointer tells by how much the best differs from that policy, with the 95 %
    interval, so that a best model that is not better than the base can be seen. Returns its step,
    or None.
    """
    reports = {step: _report(store, suite, step) for step in store.list_evaluated(suite)}
    before = reports.pop(0, None)
    if before is None:
        return None
    judge = run.eval.judges[0].name
    cer_of = {
        step: cer
        for step, report in reports.items()
        if report.identity.protocol == before.identity.protocol
        and (cer := report.modes[SAMPLED].judges[judge].mean_cer) is not None
        and store.storage.is_complete(store.model(step))
    }
    if not cer_of:
        return None
    best = min(cer_of, key=lambda step: (cer_of[step], step))
    sides = [_cer_by_text(store, suite, step, judge, work_dir) for step in (0, best)]
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
    store.write_best(best, scores)
    return best


def _report(store: RunStore, suite: str, step: int) -> EvaluationReport:
    key = f"{store.eval(suite, step)}/{REPORT}"
    text = store.storage.read_text(key)
    assert text is not None, "a complete evaluation has its report"
    return parse(EvaluationReport, text, store.storage.address(key))


def _cer_by_text(
    store: RunStore, suite: str, step: int, judge: str, work_dir: Path
) -> dict[int, float]:
    folder = work_dir / "best" / f"step_{step:06d}"
    store.storage.pull(
        store.eval(suite, step), folder, replace=True, wanted=lambda path: path == ROWS
    )
    rows = [row for row in read_lines(EvaluationRow, folder / ROWS) if row.mode == SAMPLED]
    return mean_by_text(rows, lambda row: row.judges[judge].cer)
