"""Checkpoints -> object storage, while training runs."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from verl.trainer.ppo.checkpoint_callback import CheckpointCallback

from ttsrl.records.checkpoint import CheckpointPublished
from ttsrl.records.record import append_lines
from ttsrl.storage.run_store import RunStore
from ttsrl.training.checkpoints import LOG_FOLDER, REWARD_FILE, keep, publish_checkpoint, scan
from ttsrl.training.environment import reward_here, run_here
from ttsrl.training.machines import TrainingMachine


class PublishCheckpoint(CheckpointCallback):
    """Publishes each saved checkpoint in a thread; at most one upload is under way.

    A failed upload ends the run at the next save or at its end: training would be paid for
    that has no way back.
    """

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        run = run_here()
        self.kept = run.train.max_checkpoints - 1
        """On each disk between two saves: the next one takes the last place."""
        self.store = RunStore(run.storage, run.name)
        self.executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="publish")
        self.machines: Sequence[TrainingMachine] = ()
        self.upload: Future[None] | None = None
        self.saved: tuple[int, Path] | None = None

    def on_save(
        self,
        trainer: Any,
        global_step: int,
        checkpoint_dir: str,
        async_save: bool = False,
        **_: Any,
    ) -> None:
        """verl's hook, between the update of a step and the line that logs it."""
        self.wait()
        self.machines = trainer.machines
        self.saved = global_step, Path(checkpoint_dir)

    def on_logged(self, log_files: Iterable[Path]) -> None:
        """The step is in the log: start the upload of the checkpoint that it saved, if any."""
        if self.saved is None:
            return
        (step, folder), self.saved = self.saved, None
        (folder / LOG_FOLDER).mkdir()
        for file in log_files:
            shutil.copy(file, folder / LOG_FOLDER)
        (folder / REWARD_FILE).write_text(reward_here().model_dump_json(indent=2) + "\n")
        self.upload = self.executor.submit(self._publish, step, folder.parents[1])

    def wait(self) -> None:
        """Block until nothing is being uploaded; raises what the upload raised."""
        if self.upload is not None:
            self.upload.result()

    def _publish(self, step: int, train_dir: Path) -> None:
        start_s = time.monotonic()
        parts = scan(self.machines, step)
        size = publish_checkpoint(self.store, self.machines, step, parts)
        seconds = time.monotonic() - start_s
        event = CheckpointPublished(step=step, at_s=time.time(), bytes=size, seconds=seconds)
        append_lines(train_dir / "checkpoints.jsonl", [event])
        keep(self.machines, step, self.kept)
