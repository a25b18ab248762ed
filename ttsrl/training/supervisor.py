"""Checks a run, prepares its prompts, starts verl, watches its steps, and ends what hangs.

A step that outlasts `train.step_deadline_s` ends the run with exit code 1, so that whoever started
it starts it again: it resumes from the last published checkpoint.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path

from ttsrl.config.load import dump_run, load_run
from ttsrl.config.schema import RunConfig
from ttsrl.data.prompts import are_prepared, prepare
from ttsrl.errors import BadInput, Failure, Stopped
from ttsrl.models.hub import local_folder
from ttsrl.records.step_line import POLICY
from ttsrl.runtime.exit_codes import STOPPED_BY
from ttsrl.runtime.job import Job
from ttsrl.storage.atomic import replace_text
from ttsrl.storage.published import RUN
from ttsrl.storage.run_store import RunStore
from ttsrl.tracking.beside import Trackers
from ttsrl.training import environment, preflight
from ttsrl.training.attempt_log import AttemptLog
from ttsrl.training.ending import EXIT_CODE, Ending
from ttsrl.training.evaluations_seen import EvaluationsSeen
from ttsrl.training.follower import Follower
from ttsrl.training.guarding import GuardWatch
from ttsrl.training.metrics import TrainMetrics, serve
from ttsrl.training.noted_end import refusals_noted
from ttsrl.training.published_log import PublishedLog
from ttsrl.training.ray_start import started_again
from ttsrl.training.reward_audit import check_reward_audit
from ttsrl.training.run_identity import (
    at_recorded_commit,
    check_reward_identity,
    check_run_identity,
)
from ttsrl.training.verl_args import RayHere, RayThere, verl_keys
from ttsrl.training.verl_process import VerlProcess, processes_of
from ttsrl.wire import ServiceSpec

START_ALLOWANCE_S = 900.0
"""What the first step may take longer: Ray, verl and the models start before it."""
POLL_S = 0.2


def train_until_terminated(config: Path, work_dir: Path | None = None) -> None:
    """`train`, as a program of its own: after SIGTERM it saves, within the run's
    train.termination_grace_s, and ends with exit code 143."""
    ending = Ending()
    ending.listen()
    try:
        train(config, work_dir, ending=ending)
    except SystemExit as left:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(int(left.code or 0))  # a thread that still waits for storage is not waited for
    except (BadInput, Stopped) as end:
        end_ray_job(f"{STOPPED_BY}{end}" if isinstance(end, Stopped) else f"error: {end}")
        raise


def end_ray_job(words: str) -> None:
    """End the Ray job that this process is, if it is one, so that KubeRay does not try again what
    another attempt cannot do better."""
    if environment.ray_address() is None:
        return
    from ttsrl.training.ray_job import end_as_stopped, own_submission_id

    if own_submission_id() is not None:
        print(words, flush=True)  # Ray lets nobody say it later
        end_as_stopped()


def train(
    config: Path,
    work_dir: Path | None = None,
    look: Callable[[], None] = lambda: None,
    ending: Ending | None = None,
    one_machine: bool = False,
) -> None:
    """Run to the last step from wherever it stands. Raises BadInput, Failure, Stopped.

    `look` is called all the while, and what it raises ends the run. Where `ending` asks to end, a
    checkpoint is saved, and SystemExit raised. `one_machine`: the Ray cluster that is there is this
    machine alone, and this run's.
    """
    started_s = time.monotonic()
    run = load_run(config)
    work_dir = (work_dir or Path("runs") / run.name).absolute()
    device = environment.device_of(run)
    metrics = TrainMetrics(run, device)
    if run.train.metrics_port is not None:
        serve(metrics, run.train.metrics_port)
    store = RunStore(run.storage, run.name)
    with refusals_noted(run, store):
        ending = ending or Ending()
        _train(run, work_dir, store, metrics, look, ending, one_machine, started_s)


def _train(
    run: RunConfig,
    work_dir: Path,
    store: RunStore,
    metrics: TrainMetrics,
    look: Callable[[], None],
    ending: Ending,
    one_machine: bool,
    started_s: float,
) -> None:
    device = environment.device_of(run)
    preflight.check_configuration(run, device)
    log = work_dir / "logs" / "verl.log"
    attempt = AttemptLog(store, log)
    with processes_of(run, device, log, one_machine) as verl:
        run = at_recorded_commit(run, store)
        family = preflight.check_run(run, device)
        if not are_prepared(work_dir / "data"):
            print(prepare(run, work_dir / "data"), flush=True)
        preflight.check_prompts(run, work_dir, family)
        # before the reward service is asked for: a stopped run does not need one
        newest = store.newest_checkpoint() or 0
        GuardWatch(run, store, work_dir / "train", device).check_stopped(newest)
        spec = preflight.check_service(run, family, started_s)
        check_run_identity(run, store)
        check_reward_identity(run, spec, store)
        training = _Training(run, work_dir, log, verl, store, device, spec, metrics, look, ending)
        with attempt:
            while not training.attempt():
                metrics.set_back()


@dataclass(frozen=True)
class _Training:
    """A run that has been checked."""

    run: RunConfig
    work_dir: Path
    log: Path
    """What verl says."""
    verl: Callable[[], AbstractContextManager[VerlProcess]]
    store: RunStore
    device: str
    spec: ServiceSpec
    metrics: TrainMetrics
    look: Callable[[], None]
    ending: Ending

    def attempt(self) -> bool:
        """Train from the newest checkpoint; False where a guard has set the run back.

        Raises BadInput, Failure, Stopped.
        """
        run, store, train_dir = self.run, self.store, self.work_dir / "train"
        train_dir.mkdir(exist_ok=True)
        guards = GuardWatch(run, store, train_dir, self.device)
        self.metrics.guards = guards
        guards.finish_rollback()
        newest = store.newest_checkpoint() or 0
        guards.resume(newest)
        if newest >= run.train.steps:
            print(f"all {run.train.steps} steps are done and published")
            return True
        check_reward_audit(run, self.spec, store)
        store.storage.delete(store.ended)
        print(guards.armed.words, flush=True)
        started_again(lambda: self._run_verl(guards))
        if guards.rollback is not None:
            guards.begin_rollback()
            return False
        guards.end()
        if (published := store.newest_checkpoint()) != run.train.steps:
            raise Failure(
                f"training ended at step {published} of {run.train.steps}; see {self.log}"
            )
        return True

    def _run_verl(self, guards: GuardWatch) -> None:
        """To its own end, or to the moment when the run is to be set back."""
        run, train_dir, device = self.run, self.work_dir / "train", self.device
        policy = local_folder(run.model)
        if not Path(run.model).exists():
            print(f"{POLICY}{run.model}", flush=True)
        replace_text(self.work_dir / RUN, dump_run(run))
        place = environment.ray_address() or "this machine"
        print(f"starting Ray and verl with {device} on {place}", flush=True)
        of_rollouts = environment.of_rollouts(self.spec)
        with ExitStack() as stack:
            process = stack.enter_context(self.verl())
            if process.folder is not None:
                ray = RayHere(str(process.folder), process.forks)
            else:
                variables = environment.of_every_process(run, device) | of_rollouts
                ray = RayThere(variables, process.forks)
            keys_file = train_dir / "verl.json"
            rate = run.train.learning_rate * guards.learning_rate_ratio
            here = run.model_copy(
                update={
                    "model": str(policy),
                    "train": run.train.model_copy(update={"learning_rate": rate}),
                }
            )
            keys = verl_keys(here, self.work_dir, device, ray)
            keys_file.write_text(json.dumps(keys, indent=2) + "\n", encoding="utf-8")
            stack.enter_context(PublishedLog(self.store, train_dir, self.metrics))
            trackers = stack.enter_context(Trackers(run, self.work_dir / RUN, self.work_dir))
            verl = process.begin(keys_file, environment.of_driver(run, device) | of_rollouts)
            stack.callback(verl.stop)
            evaluations = stack.enter_context(EvaluationsSeen(run, self.store))

            def look() -> bool:
                self.look()
                self._end_if_asked(guards)
                guards.on_evaluations(evaluations.new())
                trackers.look()
                self.metrics.trackers = trackers.status
                return guards.rollback is None

            follower = Follower(train_dir, self.metrics, guards.on_step)
            self.ending.can_save = True
            stack.callback(setattr, self.ending, "can_save", False)
            _watch(run, verl, follower, look)
            if self.ending.is_asked:
                print("saved and published: the same command resumes there", flush=True)
                raise SystemExit(EXIT_CODE)

    def _end_if_asked(self, guards: GuardWatch) -> None:
        """After SIGTERM: have the trainer save and leave, for as long as there is time."""
        grace_s = self.run.train.termination_grace_s
        if self.ending.is_new():
            guards.save_and_end()
            print(
                f"SIGTERM: up to {grace_s:.0f} s (train.termination_grace_s) for this step and its "
                "checkpoint",
                flush=True,
            )
        if self.ending.is_late(grace_s):
            print("the step took longer: the same command resumes from the newest checkpoint")
            raise SystemExit(EXIT_CODE)


def _watch(run: RunConfig, verl: Job, follower: Follower, look: Callable[[], bool]) -> None:
    """Wait for verl's end, or until `look` is False.

    Raises Failure where verl fails or a step takes longer than it may.
    """
    deadline = time.monotonic() + START_ALLOWANCE_S + run.train.step_deadline_s
    try:
        while verl.is_running() and look():
            if follower.look():
                deadline = time.monotonic() + run.train.step_deadline_s
            if time.monotonic() > deadline:
                raise Failure(
                    f"no step ended within {run.train.step_deadline_s:.0f} s; stopped, and the "
                    f"same command resumes from the last checkpoint; see {verl.log}"
                )
            time.sleep(POLL_S)
    finally:
        follower.look()
