"""What the evaluation of a checkpoint has found, in words."""

from __future__ import annotations

from ttsrl.evaluation.during.plan import BASE, Plan
from ttsrl.evaluation.report.comparison import in_points, percent
from ttsrl.records.during import CHANGE, ChangeFromBase
from ttsrl.records.evaluation import REPORT, SAMPLED, EvaluationReport
from ttsrl.records.record import parse


def report_of(plan: Plan, step: int) -> EvaluationReport:
    """The published report of a step."""
    key = f"{plan.key(step)}/{REPORT}"
    return parse(
        EvaluationReport, plan.store.storage.read_text(key) or "", plan.store.storage.address(key)
    )


def change_of(plan: Plan, step: int) -> ChangeFromBase:
    """What a step's evaluation differs by from the base's."""
    key = f"{plan.key(step)}/{CHANGE}"
    return parse(
        ChangeFromBase, plan.store.storage.read_text(key) or "", plan.store.storage.address(key)
    )


def note_of(plan: Plan, step: int) -> str:
    """The CER of sampled speech as the verdict's judge hears it, and its change from the base."""
    report = report_of(plan, step)
    judge = report.verdict_judge.name
    cer = report.modes[SAMPLED].judges[judge].mean_cer
    said = f"CER {'unknown' if cer is None else percent(cer)} ({judge}, {report.texts} texts)"
    if step == BASE:
        return f"{said}, the base"
    change = change_of(plan, step).metrics[f"cer/{judge}"][SAMPLED]
    if change is None:
        return f"{said}, not to be compared with the base: the judge failed"
    moved = change.difference
    return (
        f"{said}, {in_points(moved.value)} points against the base "
        f"(95 % interval {in_points(moved.low)} to {in_points(moved.high)})"
    )
