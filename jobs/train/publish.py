"""Checkpoints -> object storage, while training goes on."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from verl.trainer.ppo.checkpoint_callback import CheckpointCallback

from ttsrl.settings import load_run
from ttsrl.storage import RunStore

LOG_FOLDER = "log"
"""Where a checkpoint keeps the step log up to its step, so that a new machine has the history."""


class PublishCheckpoint(CheckpointCallback):
    """Publishes each saved checkpoint in a thread; at most one upload is under way.

    A failed upload ends the run at the next save or at its end: nobody wants to pay for training
    that has no way back.
    """

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        run = load_run(os.environ["TTSRL_RUN_CONFIG"])
        self.store = RunStore(run.storage, run.name)
        self.executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="publish")
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
        self.saved = global_step, Path(checkpoint_dir)

    def on_logged(self, log_files: Iterable[Path]) -> None:
        """The step is in the log: start the upload of the checkpoint that it saved, if any."""
        if self.saved is None:
            return
        (step, folder), self.saved = self.saved, None
        (folder / LOG_FOLDER).mkdir()
        for file in log_files:
            shutil.copy(file, folder / LOG_FOLDER)
        self.upload = self.executor.submit(publish_checkpoint, self.store, step, folder)

    def wait(self) -> None:
        """Block until nothing is being uploaded; raises what the upload raised."""
        if self.upload is not None:
            self.upload.result()


def publish_checkpoint(store: RunStore, step: int, folder: Path) -> None:
    """Upload one `global_step_N` folder whole, then let `latest.json` point to it."""
    store.storage.publish(folder, store.checkpoint(step))
    store.write_latest(step)
