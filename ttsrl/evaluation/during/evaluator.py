"""Follows a run's storage and evaluates its checkpoints as they are published.

It only reads what training publishes: training neither waits for it nor knows of it. Killed at any
moment it is started again by the same command; what is published is not evaluated again, and what
is not published is not seen. What merges and what speaks and judges are processes that stay from
checkpoint to checkpoint: what they import and load takes longer than a small evaluation. One that
fails or is killed is started again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ttsrl.config.schema import RunConfig
from ttsrl.errors import BadInput, Failure
from ttsrl.evaluation.best import best_checkpoint, point_to_best
from ttsrl.evaluation.during.forget import forget_given_up
from ttsrl.evaluation.during.measure import evaluate_checkpoint
from ttsrl.evaluation.during.models import CheckpointModels
from ttsrl.evaluation.during.outcome import note_of
from ttsrl.evaluation.during.plan import BASE, Plan
from ttsrl.guards.armed import may_set_back
from ttsrl.models.recorded_run import differences
from ttsrl.records.during import DuringTrainingState, EvaluatedLine
from ttsrl.records.guard import SetBacks
from ttsrl.runtime.kept import KeptProcess
from ttsrl.storage.errors import StorageError
from ttsrl.storage.run_store import RunStore

POLL_S = 5.0
ATTEMPTS = 3
"""Of a checkpoint whose evaluation fails, before the next one's turn."""
SAY_EVERY_S = 600.0
SET_BACK = "a guard has set the run back, and its checkpoint is given up"


@dataclass(frozen=True)
class Beside:
    """Where the evaluation works, and how it learns that training is over."""

    config: Path
    """The run's JSON file."""
    data: Path
    """Folder of the run's prompts; they are prepared where it lacks them."""
    folder: Path
    """For evaluations and logs."""
    environment: Mapping[str, str]
    """Of the process that speaks and judges: its GPU."""
    has_ended: Callable[[], bool]
    """Whether training has ended: then what is published is all there will be."""
    poll_s: float = POLL_S


@dataclass
class CheckpointEvaluator:
    """One evaluation of a run's checkpoints at work."""

    run: RunConfig
    store: RunStore
    models: CheckpointModels
    beside: Beside
    skipped: dict[int, str] = field(default_factory=dict[int, str])
    failures: int = 0
    set_backs: SetBacks | None = None
    """Of the run, as this evaluation has heeded them; None before it has looked."""
    _judging: KeptProcess = field(init=False)
    _said: str = ""
    _said_s: float = 0.0

    def __post_init__(self) -> None:
        log = self.beside.folder / "logs" / "evaluate.log"
        self._judging = KeptProcess("evaluate", log, self.beside.environment)

    @property
    def plan(self) -> Plan:
        return Plan(self.run, self.store)

    def follow(self) -> None:
        """Evaluate every checkpoint of the plan, to the end of training.

        Raises BadInput for what no repetition can fix, Failure where the base cannot be evaluated.
        """
        try:
            self._follow()
        finally:
            self._judging.stop()
            self.models.stop()

    def _follow(self) -> None:
        self._wait_for_run()
        is_comparable = False
        while True:
            has_ended = self.beside.has_ended()
            try:
                self.heed_set_backs()
                if not is_comparable:
                    self._evaluate(BASE)  # published or not: its settings must be the run's
                    is_comparable = True
                left = self.plan.left(self.skipped, has_ended=has_ended)
                if left:
                    self._evaluate(left[0])
                elif has_ended or (self._last_is_done() and not may_set_back(self.run)):
                    self.point_to_best()  # once more, with what the guards found since
                    return
                else:
                    self.models.get_ready()
                    self._wait("the next checkpoint")
            except StorageError as error:
                self._wait(f"storage: {error}")

    def _wait_for_run(self) -> None:
        """Until training has recorded what it trains; from then on its base is the run's policy."""
        while True:
            try:
                recorded = self.store.storage.read_json(self.store.run_json)
            except StorageError as error:
                self._wait(f"storage: {error}")
                continue
            if recorded is not None:
                break
            if self.beside.has_ended():
                raise BadInput("training ended before it began: its own log says why")
            self._wait("training to begin")
        began = RunConfig.model_validate(recorded)
        if differs := differences(began, self.run):
            raise BadInput(
                f"run {self.run.name!r} in {self.run.storage} has another configuration: "
                f"{differs}; evaluate it with its own"
            )
        self.run = self.run.model_copy(update={"model": began.model})

    def heed_set_backs(self) -> None:
        """Forget what is of checkpoints that a rollback has given up since the last look."""
        now = self.store.set_backs()
        if now == self.set_backs:
            return
        known = SetBacks() if self.set_backs is None else self.set_backs
        if new := now.to_steps[known.done :]:
            newest = min(new)
            self.skipped = {step: why for step, why in self.skipped.items() if step <= newest}
            self.models.forget_after(newest)
            forget_given_up(self.plan, self.beside.folder, now)
            print(
                f"the run was set back: evaluations after step {newest} are made anew", flush=True
            )
        self.set_backs = now

    def _is_given_up(self, step: int) -> bool:
        """Whether a rollback has given up what is being evaluated."""
        return self.store.set_backs().gave_up(step, self._rollbacks)

    @property
    def _rollbacks(self) -> int:
        return 0 if self.set_backs is None else self.set_backs.done

    def _last_is_done(self) -> bool:
        last = self.run.train.steps
        return last in self.skipped or self.store.storage.is_complete(self.plan.key(last))

    def _evaluate(self, step: int) -> None:
        done = step in self.plan.evaluated()
        try:
            self._attempt_often(step)
        except (BadInput, Failure) as error:
            if step == BASE or isinstance(error, StorageError):
                raise
            if self._is_given_up(step):
                print(f"step {step} is not evaluated: {SET_BACK}", flush=True)
                return
            gone = self._is_gone(step)
            self._skip(step, "its checkpoint is no longer in storage" if gone else str(error))
        else:
            if not done:
                print(EvaluatedLine(step, note_of(self.plan, step)), flush=True)
            if step != BASE:
                self.point_to_best()
                self.models.forget(step)
        self._publish_state()

    def point_to_best(self) -> None:
        """Publish the best checkpoint so far as a model, and have best.json name it.

        Raises StorageError.
        """
        store, during = self.store, self.plan.during
        best = best_checkpoint(self.run, store, during.folder)
        try:
            if best is not None and not store.storage.is_complete(store.model(best)):
                model = self.models.of(best)
                store.publish_of_step(model, store.model(best), best, self._rollbacks)
                self.models.forget(best)
        except StorageError:
            raise
        except (BadInput, Failure) as error:  # its merge failed, or another machine was faster
            if not store.storage.is_complete(store.model(best or BASE)):
                print(f"the model of step {best}, the best, is not published: {error}", flush=True)
        point_to_best(self.run, store, during.suite, self.beside.folder)

    def _attempt_often(self, step: int) -> None:
        attempt = 0
        while True:
            try:
                self._attempt(step)
                return
            except Failure as error:
                if self._storage_was_away():
                    continue
                if self._is_given_up(step):
                    raise
                attempt += 1
                self.failures += 1
                print(f"step {step}, attempt {attempt} of {ATTEMPTS}: {error}", flush=True)
                if attempt == ATTEMPTS or (step != BASE and self._is_gone(step)):
                    raise Failure(f"failed {attempt} times, last: {error}") from None
                time.sleep(self.beside.poll_s)

    def _attempt(self, step: int) -> None:
        model = self.run.model if step == BASE else str(self.models.of(step))
        beside = self.beside
        self._judging.call(
            evaluate_checkpoint,
            beside.config,
            step,
            model,
            beside.data,
            beside.folder,
            self._rollbacks,
        )

    def _storage_was_away(self) -> bool:
        """Waits until storage answers; whether that took any waiting."""
        waited = False
        while True:
            try:
                self.store.list_checkpoints()
                return waited
            except StorageError as error:
                waited = True
                self._wait(f"storage: {error}")

    def _is_gone(self, step: int) -> bool:
        """Whether there is nothing left to evaluate."""
        keys = self.store.checkpoint(step), self.store.model(step)
        return not self.models.has(step) and not any(map(self.store.storage.is_complete, keys))

    def _skip(self, step: int, why: str) -> None:
        self.models.forget(step)
        self.skipped[step] = why
        print(f"step {step} is not evaluated: {why}", flush=True)

    def _publish_state(self) -> None:
        """For whoever watches from elsewhere; storage that fails costs no evaluation."""
        try:
            state = DuringTrainingState(
                evaluated=self.plan.evaluated(),
                waiting=self.plan.left(self.skipped, has_ended=False),
                skipped={str(step): why for step, why in self.skipped.items()},
                failures=self.failures,
                at_s=time.time(),
            )
            key = self.store.evaluation_state(self.plan.during.folder)
            self.store.storage.write_json(key, state.model_dump())
        except StorageError as error:
            print(f"state.json is not published: {error}", flush=True)

    def _wait(self, what: str) -> None:
        if what != self._said or time.monotonic() - self._said_s > SAY_EVERY_S:
            self._said, self._said_s = what, time.monotonic()
            print(f"waiting for {what}", flush=True)
        time.sleep(self.beside.poll_s)
