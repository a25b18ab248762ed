"""Evaluate one checkpoint as all others of its run, compare it with the base, publish both.

Calls of one process: what hears the first checkpoint stays loaded for those that follow.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ttsrl.config.load import load_run
from ttsrl.config.schema import RunConfig
from ttsrl.errors import BadInput
from ttsrl.evaluation.compare import values
from ttsrl.evaluation.during.plan import BASE, Plan, during_of, local
from ttsrl.evaluation.report.comparison import compare_evaluations
from ttsrl.evaluation.report.inputs import Evaluation
from ttsrl.evaluation.suites import Suite, read_or_prepare
from ttsrl.records.during import CHANGE, ChangeFromBase
from ttsrl.records.evaluation import REPORT, EvaluationReport
from ttsrl.records.record import read_file, to_text
from ttsrl.runtime.machine import torch_device
from ttsrl.storage.atomic import replace_text
from ttsrl.storage.run_store import RunStore

if TYPE_CHECKING:
    from ttsrl.evaluation.listeners import Listeners


def evaluate_checkpoint(
    config: Path, step: int, model: str, data: Path, folder: Path, rollbacks: int
) -> None:
    """Evaluate the model of a step in `folder`/step_N and publish that.

    `model` is a folder, or for the base the run's own; `data` has the prompts or gets them.
    `folder` also gets the base, with which the step is compared. What is whole there already is not
    measured again. `rollbacks` of the run were complete when the checkpoint was read; where there
    was another meanwhile nothing is published. Raises BadInput, Failure.
    """
    from transformers.utils import logging

    from ttsrl.evaluation.adaptation import write_adaptation
    from ttsrl.evaluation.evaluate import evaluate

    logging.disable_progress_bar()
    kept = _kept(config, data)
    run = kept.run
    plan = Plan(run, RunStore(run.storage, run.name))
    base = _base(plan, folder, kept.protocol)
    if step == BASE and base is not None:
        return
    out = local(folder, step)
    evaluate(
        run,
        model,
        kept.suite,
        out,
        name=model if step == BASE else plan.store.checkpoint(step),
        device=torch_device(),
        listeners=kept.listeners,
        on_progress=lambda done, total: print(f"evaluated {done}/{total}", flush=True),
    )
    if base is not None:
        write_adaptation(run, out, base.folder)
        _write_change(run, step, base, out)
    publish_evaluation(plan, out, step, rollbacks)


def publish_evaluation(plan: Plan, out: Path, step: int, rollbacks: int) -> None:
    """Publish a finished evaluation in `out`. Raises GivenUpError, BadInput, StorageError."""
    report = read_file(EvaluationReport, out / REPORT)
    assert report is not None, "it was just evaluated"
    replace_text(out / REPORT, to_text(report.model_copy(update={"rollbacks": rollbacks})))
    try:
        plan.store.publish_of_step(out, plan.key(step), step, rollbacks)
    except BadInput:
        # a pod that was taken for lost was faster; its seconds differ, or a GPU's last bits
        if not plan.store.storage.is_complete(plan.key(step)):
            raise


@dataclass(frozen=True)
class _Kept:
    """What is the same for every checkpoint."""

    run: RunConfig
    suite: Suite
    protocol: str

    @functools.cached_property
    def listeners(self) -> Listeners:
        from ttsrl.evaluation.listeners import load_listeners

        return load_listeners(self.run, self.suite, torch_device())


@functools.lru_cache(maxsize=1)
def _kept(config: Path, data: Path) -> _Kept:
    from ttsrl.evaluation.protocol import protocol_of

    run = load_run(config)
    suite = suite_of(run, data)
    return _Kept(run, suite, protocol_of(run, suite))


def suite_of(run: RunConfig, data: Path) -> Suite:
    """What is spoken and who listens: the beginning of the suite, and its independent judges."""
    during = during_of(run)
    suite = read_or_prepare(run, during.suite, data)
    judges = run.eval.judges_during_training()
    return replace(suite, texts=suite.texts[: during.texts], judges=judges)


def _base(plan: Plan, folder: Path, protocol: str) -> Evaluation | None:
    """The base's evaluation, if it is published. Raises BadInput for one of other settings."""
    out, key = local(folder, BASE), plan.key(BASE)
    if not plan.store.storage.is_complete(key):
        return None
    plan.store.storage.pull(key, out, replace=True)
    base = Evaluation.read(out)
    assert base is not None, "a published evaluation has its report"
    if base.report.identity.protocol != protocol:
        raise BadInput(
            f"{plan.store.storage.address(key)} was evaluated with other texts, settings or "
            "judges than the run has now: checkpoints would not compare with it. Set them back, or "
            f"remove {plan.store.storage.address(key.rpartition('/')[0])} to begin anew"
        )
    return base


def _write_change(run: RunConfig, step: int, base: Evaluation, out: Path) -> None:
    after = Evaluation.read(out)
    assert after is not None, "it was just evaluated"
    found = compare_evaluations(base, after, samples=run.eval.bootstrap_samples, seed=run.seed)
    change = ChangeFromBase.model_validate({"step": step, "metrics": values(found)})
    replace_text(out / CHANGE, to_text(change))
