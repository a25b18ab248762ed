"""One quickstart from wherever it stands: lock, services, the stages that are left."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

from ttsrl.config.load import dump_run
from ttsrl.config.models import check_models
from ttsrl.config.schema import RunConfig
from ttsrl.errors import BadInput, Stopped
from ttsrl.evaluation.during.beside import check_during_training
from ttsrl.facts import models_in
from ttsrl.models.revisions import pinned_run
from ttsrl.quickstart.stages import Session, StageOfRun, free_url, report
from ttsrl.quickstart.state import QuickstartState, forget, recorded_models
from ttsrl.runtime.hold import hold_run
from ttsrl.runtime.job import stop_all
from ttsrl.runtime.machine import QUICKSTART_DISK_BYTES, QUICKSTART_MEMORY_BYTES, require
from ttsrl.runtime.progress import Progress
from ttsrl.storage.local_s3 import LocalS3
from ttsrl.storage.run_store import RunStore
from ttsrl.tracking.registry import check_trackers
from ttsrl.training.environment import device_of, gpus_here
from ttsrl.training.verl_config import check_verl_keys


def quickstart(
    run: RunConfig,
    work_dir: Path,
    stages: Sequence[StageOfRun],
    *,
    local_storage: bool,
    fresh: bool = False,
) -> None:
    """Do every stage that is not finished yet.

    Raises BadInput, Failure, KeyboardInterrupt; Stopped where a guard ended training: the report is
    written then, too.

    `local_storage` publishes to an S3 server of its own, in the run's folder; `fresh` forgets what
    is done. Nothing is left running, however this ends.
    """
    if fresh and not local_storage:
        raise BadInput(
            f"--fresh forgets {work_dir}, but not what is published in {run.storage}; "
            "give this run another name: --set name=other"
        )
    check_verl_keys(run, device_of(run))
    check_models(models_in(run))
    check_during_training(run, gpus_here(run))
    check_trackers(run.trackers, in_cluster=False)
    url = free_url(run.reward.url)
    if not local_storage:
        RunStore(run.storage, run.name).newest_checkpoint()  # it answers, or tells why not
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    with ExitStack() as stack:
        stack.enter_context(hold_run(work_dir))
        if fresh:
            forget(work_dir)
        run = pinned_run(run, recorded_models(work_dir))
        server = LocalS3(work_dir)
        if local_storage:
            run = run.model_copy(update={"storage": server.root})
        state = QuickstartState(work_dir, run)
        left = [s for s in stages if not state.is_finished(s.name, work_dir / s.output)]
        trains = any(stage.needs_reward for stage in left)
        if trains:
            require(work_dir, QUICKSTART_DISK_BYTES, QUICKSTART_MEMORY_BYTES)
        state.begin()
        if left and local_storage:
            stack.enter_context(server)
            environment = server.environment(os.environ)
            os.environ.clear()
            os.environ.update(environment)
        session = Session(_with_url(run, url), work_dir, stack.enter_context(Progress()))
        session.config.write_text(dump_run(session.run), encoding="utf-8")
        stack.callback(_stop, session)
        if trains:
            session.start_reward_service()
        for stage in stages:
            if stage in left:
                _do(stage, session, state)
            else:
                session.progress.done_before(stage.name, state.note(stage.name))


def _do(stage: StageOfRun, session: Session, state: QuickstartState) -> None:
    if stage.needs_reward:
        session.wait_for_reward_service()
    shown = session.progress.stage(stage.name)
    start_s = time.monotonic()
    try:
        note = stage.run(session, shown)
    except Stopped:
        # what led to it can be seen and heard
        page = session.progress.stage("report")
        page.finish(report(session, page))
        raise
    shown.finish(note)
    state.finish(stage.name, note, time.monotonic() - start_s)
    if stage.needs_reward:
        session.stop_reward_service()


def _with_url(run: RunConfig, url: str) -> RunConfig:
    """The run with a reward service of this session; its address is not part of the result."""
    reward = run.reward.model_copy(update={"url": url})
    return run.model_copy(update={"reward": reward})


def _stop(session: Session) -> None:
    """End every job; a second Ctrl-C must not leave one behind."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    stop_all(session.jobs)


def _interrupt(number: int, _: FrameType | None) -> None:
    raise KeyboardInterrupt
