"""Checkpoints -> object storage, while training runs."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayTaskError
from verl.trainer.ppo.checkpoint_callback import CheckpointCallback

from ttsrl.records.checkpoint import CheckpointPublished
from ttsrl.records.record import append_lines
from ttsrl.storage.atomic import replace_text
from ttsrl.storage.run_store import RunStore
from ttsrl.training.base_weights import publish_base
from ttsrl.training.checkpoints import LOG_FOLDER, REWARD_FILE, keep, publish_checkpoint, scan
from ttsrl.training.environment import reward_here, run_here
from ttsrl.training.machines import TRACKER, TrainingMachine
from ttsrl.training.plugin.saving import written

POLL_S = 0.2


class PublishCheckpoint(CheckpointCallback):
    """Publishes each saved checkpoint in a thread, once all ranks have written it; at most one is
    under way.

    A failed write or upload ends the run with the step that is under way, or at its end: training
    would be paid for that has no way back.
    """

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        run = run_here()
        self.kept = run.train.max_checkpoints - 1
        """On each disk between two saves: the next one takes the last place."""
        self.store = RunStore(run.storage, run.name)
        self.executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="publish")
        self.machines: Sequence[TrainingMachine] = ()
        self.writers: Sequence[Any] = ()
        """verl's workers, where they write beside the steps."""
        self.under_way: Future[None] | None = None
        self.saved: tuple[int, Path] | None = None
        self.base_is_there = run.train.lora is None

    def on_save(
        self,
        trainer: Any,
        global_step: int,
        checkpoint_dir: str,
        async_save: bool = False,
        **_: Any,
    ) -> None:
        """verl's hook, between the update of a step and the line that logs it."""
        self.machines = trainer.machines
        self.writers = trainer.actor_rollout_wg.workers if async_save else ()
        self.saved = global_step, Path(checkpoint_dir)

    def on_logged(self, log_files: Iterable[Path]) -> None:
        """The step is in the log: publish the checkpoint that it saved, if any.

        Raises what has gone wrong with the one before.
        """
        if self.under_way is not None and self.under_way.done():
            self.wait()
        if self.saved is None:
            return
        (step, folder), self.saved = self.saved, None
        (folder / LOG_FOLDER).mkdir()
        for file in log_files:
            shutil.copy(file, folder / LOG_FOLDER)
        (folder / REWARD_FILE).write_text(reward_here().model_dump_json(indent=2) + "\n")
        self.under_way = self.executor.submit(self._publish, step, folder.parents[1])

    def wait(self) -> None:
        """Block until nothing is being written or uploaded; raises what either raised."""
        if self.under_way is not None:
            self.under_way.result()

    def publish_base(self) -> None:
        """What the checkpoints of a run with adapters are merged with; before the first of them."""
        if not self.base_is_there:
            publish_base(run_here(), self.store)
            self.base_is_there = True

    def _publish(self, step: int, train_dir: Path) -> None:
        write_seconds = 0.0
        if self.writers:
            write_seconds = wait_written(self.writers)
            replace_text(train_dir / "checkpoints" / TRACKER, str(step))
        self.publish_base()
        start_s = time.monotonic()
        parts = scan(self.machines, step)
        size = publish_checkpoint(self.store, self.machines, step, parts)
        event = CheckpointPublished(
            step=step,
            at_s=time.time(),
            bytes=size,
            seconds=time.monotonic() - start_s,
            write_seconds=write_seconds,
        )
        append_lines(train_dir / "checkpoints.jsonl", [event])
        keep(self.machines, step, self.kept)


def wait_written(workers: Sequence[Any]) -> float:
    """Until every rank has written its part; seconds of the slowest. Raises what a rank raises.

    A rank answers between two calls of the trainer.
    """
    while True:
        try:
            seconds: list[float | None] = ray.get(
                [worker.__ray_call__.remote(written) for worker in workers]
            )
        except RayTaskError as error:
            raise error.cause from None  # Ray's own text is a traceback
        done = [took for took in seconds if took is not None]
        if len(done) == len(seconds):
            return max(done)
        time.sleep(POLL_S)
