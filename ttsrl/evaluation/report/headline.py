"""What the page says first: who stopped the run, and what training changed as far as is known."""

from __future__ import annotations

from collections.abc import Iterator

from ttsrl.config.evaluation import HELD_OUT
from ttsrl.evaluation.report.beside import JudgeHeard, heard_beside
from ttsrl.evaluation.report.comparison import Comparison, measured_by, moved_in_points, verdict
from ttsrl.evaluation.report.inputs import RunFolder
from ttsrl.models.kinship import kinship_of
from ttsrl.records.evaluation import Kinship
from ttsrl.records.guard import GuardEvent, stopped_by


def headline(folder: RunFolder, comparison: Comparison | None) -> list[str]:
    """Sentences: the guard that stopped the run and the model to use, then what training changed.

    Without an evaluation after training they rest on the last one made while the run trained.
    """
    heard = heard_beside(folder) if comparison is None else None
    changed = verdict(folder, comparison) if heard is None else [_while_it_trained(folder, heard)]
    return [*_stopped(folder), *changed]


def _stopped(folder: RunFolder) -> Iterator[str]:
    event = stopped_by(folder.guards, folder.run.guards.max_rollbacks)
    if event is None or _is_changed(folder, event):
        return
    step = folder.steps[-1].step if folder.steps else event.step
    yield f"Guard {event.guard} stopped the run after step {step} of {folder.run.train.steps}."
    if folder.best:
        yield f"The best model: {folder.best.why or f'that of step {folder.best.step}'}."


def _is_changed(folder: RunFolder, event: GuardEvent) -> bool:
    """Whether the guard is another one now, so that the run continues: as a start looks at it."""
    now = next((guard for guard in folder.armed.guards if guard.name == event.guard), None)
    return event.digest != "" and (now is None or now.digest != event.digest)


def _while_it_trained(folder: RunFolder, heard: JudgeHeard) -> str:
    step, moved = heard.changes[-1]
    low, high = moved.difference.low, moved.difference.high
    verb = "cut" if high < 0 else "raised" if low > 0 else "did not measurably change"
    during = folder.run.eval.during_training
    texts = "held-out texts" if during is None or during.suite == HELD_OUT else during.suite
    return (
        f"{measured_by(heard.judge, _relation(folder, heard.judge))} {verb} the character error "
        f"rate{'' if verb in ('cut', 'raised') else ':'} {moved_in_points(moved)} in sampled "
        f"speech at step {step}, the last that was evaluated while the run trained, on "
        f"{moved.texts} {'texts of ' if texts != 'held-out texts' else ''}{texts}."
    )


def _relation(folder: RunFolder, name: str) -> Kinship:
    judges = [*folder.run.eval.judges_during_training(), *folder.run.eval.judges]
    judge = next((judge for judge in judges if judge.name == name), None)
    return "unknown" if judge is None else kinship_of(folder.run, judge)
