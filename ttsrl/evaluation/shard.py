"""Evaluate one shard of a run's suites, before and after training, and publish it.

The suites are the held-out texts and those of `eval.suites`, all of them or the one that is named.

For clusters, one pod a shard: the shard's number is JOB_COMPLETION_INDEX where no --index is given.
The policy that the run starts from is evaluated while the merge may still run; then the pod waits
for the merged model of the step. What is published already is not done again.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from ttsrl.config.evaluation import HELD_OUT
from ttsrl.config.load import load_run
from ttsrl.config.schema import RunConfig
from ttsrl.errors import BadInput
from ttsrl.evaluation.evaluate import (
    EvalShard,
    report_judges,
    speak_and_hear,
)
from ttsrl.evaluation.protocol import identify, protocol_of
from ttsrl.evaluation.suites import Suite, read_or_prepare
from ttsrl.evaluation.waiting import wait_until
from ttsrl.records.evaluation import SHARD, EvaluationShard
from ttsrl.records.record import parse, to_text
from ttsrl.runtime.machine import torch_device
from ttsrl.storage.run_store import RunStore

BEFORE = 0
"""Step of the policy that the run starts from."""


@dataclass(frozen=True)
class ShardedEvaluation:
    """What the shards of an evaluation, and what puts them together, are told alike."""

    config: Path
    """The run's JSON file."""
    work_dir: Path
    """Local folder to work in."""
    of: int
    """Number of shards."""
    step: int | None = None
    """Step of the model; None: the run's last."""
    suite: str | None = None
    """The held-out texts, or one of `eval.suites`; None: all of them."""
    name: str | None = None
    """Name below eval/; None: that of the suite."""
    wait_s: float = 0.0
    """How long to wait for what other jobs publish."""


def named_suites(run: RunConfig, suite: str | None, name: str | None) -> dict[str, str]:
    """Suite -> its name below eval/, as the command line asks. Raises BadInput."""
    if suite is None and name is not None:
        raise BadInput(f"--as {name} names one evaluation; say of which suite: --suite {HELD_OUT}")
    if suite is not None:
        return {suite: name or suite}
    return {each: each for each in (HELD_OUT, *(listed.name for listed in run.eval.suites))}


def evaluate_shard(asked: ShardedEvaluation, index: int | None = None) -> None:
    """Evaluate a shard, before and after training; the one of JOB_COMPLETION_INDEX by default.

    Raises BadInput, Failure, StorageError.
    """
    part = EvalShard(_index(index, asked.of), asked.of)
    run = load_run(asked.config)
    store = RunStore(run.storage, run.name)
    work_dir = asked.work_dir.absolute()
    step = run.train.steps if asked.step is None else asked.step
    data = work_dir / "data"
    every = [
        Shards(run, store, read_or_prepare(run, suite, data), name, part, work_dir)
        for suite, name in named_suites(run, asked.suite, asked.name).items()
    ]
    for shards in every:
        shards.evaluate(BEFORE, run.model)
    left = [shards for shards in every if not shards.is_done(step)]
    if not left:
        return
    wait_for_model(store, step, asked.wait_s)
    model = work_dir / "model"
    rollbacks = store.set_backs().done
    store.storage.pull(store.model(step), model)
    for shards in left:
        shards.evaluate(step, str(model), rollbacks)


def wait_for_model(store: RunStore, step: int, wait_s: float) -> None:
    """Until the merged model of a step is published. Raises Failure."""

    def missing() -> str:
        if store.storage.is_complete(store.model(step)):
            return ""
        return (
            f"the merged model of step {step}; merged are {store.list_models() or 'none'}, "
            f"checkpoints there are {store.list_checkpoints() or 'none'} (--step N takes another)"
        )

    wait_until(missing, wait_s)


class Shards:
    """One shard of each step's evaluation of a suite, on this machine and in storage."""

    def __init__(
        self,
        run: RunConfig,
        store: RunStore,
        suite: Suite,
        name: str,
        part: EvalShard,
        work_dir: Path,
    ) -> None:
        self.run = run
        self.store = store
        self.suite = suite
        self.name = name
        self.part = part
        self.work_dir = work_dir
        self.protocol = protocol_of(run, suite)

    def is_done(self, step: int) -> bool:
        """Whether this shard is published. Raises BadInput if it is one of other settings."""
        prefix = self._prefix(step)
        if not self.store.storage.is_complete(prefix):
            return False
        if self._published(prefix).identity.protocol != self.protocol:
            raise BadInput(
                f"{self.store.storage.address(prefix)} was evaluated with other texts, settings "
                "or judges; give this evaluation another name: --as NAME"
            )
        print(
            f"{self.name}, step {step}: shard {self.part.index} of {self.part.of} is done",
            flush=True,
        )
        return True

    def evaluate(self, step: int, model: str, rollbacks: int = 0) -> None:
        """Speak, hear and publish this shard with a model, unless it is done.

        `rollbacks` of the run were complete when the model was read. Raises GivenUpError after
        another one.
        """
        if self.is_done(step):
            return

        from transformers.utils import logging

        logging.disable_progress_bar()
        out = self.work_dir / "shards" / self.name / f"step_{step:06d}"
        shutil.rmtree(out, ignore_errors=True)
        identity = identify(self.run, model, self.suite)
        rows, synthesis_s = speak_and_hear(
            self.run,
            model,
            self.suite,
            out,
            self.part,
            device=torch_device(),
            on_progress=lambda done, total: print(
                f"{self.name}, step {step}: {done}/{total}", flush=True
            ),
        )
        shard = EvaluationShard(
            identity=identity,
            model=self.run.model if step == BEFORE else self.store.model(step),
            suite=self.suite.name,
            sampling=self.suite.sampling,
            judges=report_judges(self.run, self.suite),
            texts=len(self.suite.texts),
            rows=len(rows),
            synthesis_s=synthesis_s,
        )
        (out / SHARD).write_text(to_text(shard), encoding="utf-8")
        try:
            self.store.publish_of_step(out, self._prefix(step), step, rollbacks)
        except BadInput:
            # a pod that was taken for lost was faster; its seconds differ, or a GPU's last bits
            if not self.is_done(step):
                raise

    def _published(self, prefix: str) -> EvaluationShard:
        storage, key = self.store.storage, f"{prefix}/{SHARD}"
        return parse(EvaluationShard, storage.read_text(key) or "", storage.address(key))

    def _prefix(self, step: int) -> str:
        return self.store.eval_shard(self.name, step, self.part.index, self.part.of)


def _index(given: int | None, of: int) -> int:
    named = os.environ.get("JOB_COMPLETION_INDEX", "") if given is None else str(given)
    if not named.isdecimal():
        raise BadInput("which shard? give --index I, or run as a pod of an Indexed Job")
    if int(named) >= of:
        raise BadInput(
            f"shard {named} of {of}: there are only 0 to {of - 1}; --of must be the Job's "
            "completions"
        )
    return int(named)
