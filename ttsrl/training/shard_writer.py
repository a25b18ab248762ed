"""What a rank saves: copied to host memory at once, written by a thread while training continues.

torch's own stager copies, into memory that is kept for the next checkpoint, page-locked beside a
GPU. torch's writer holds no lock of Python's while it writes.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch.distributed.checkpoint._state_dict_stager import StateDictStager

from ttsrl.errors import Failure, reason_of
from ttsrl.storage.atomic import replace_file


class ShardWriter:
    """Writes one checkpoint at a time."""

    def __init__(self) -> None:
        self.thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self.writing: Future[float] | None = None
        self._on_gpu = torch.cuda.is_available()
        self._stager = StateDictStager(pin_memory=self._on_gpu)

    def begin(self, folder: Path, states: Mapping[str, Any]) -> None:
        """Copy the states, file name -> what it holds, and begin to write them into the folder.

        A file has its name once it is whole. Waits for the write before, whose memory is used
        again. Raises Failure where that one failed, or memory for the copy is missing.
        """
        self.wait()
        try:
            copies = self._stager.stage(dict(states), non_blocking=self._on_gpu)
            if self._on_gpu:
                torch.cuda.synchronize()
        except RuntimeError as error:  # torch's, where memory cannot be had or page-locked
            raise Failure(
                f"a checkpoint could not be copied to this machine's memory: {reason_of(error)}; "
                "give training more memory, or set train.save_beside=false"
            ) from error
        self.writing = self.thread.submit(_write, folder, copies)

    def wait(self) -> None:
        """Until nothing is being written. Raises Failure where a write failed."""
        if self.writing is not None:
            self.writing.result()

    def written(self) -> float | None:
        """Seconds that the last write took; None while it is under way. Raises Failure."""
        if self.writing is None:
            return 0.0
        return self.writing.result() if self.writing.done() else None


def _write(folder: Path, states: Mapping[str, Any]) -> float:
    start_s = time.monotonic()
    for name, state in states.items():
        try:
            with replace_file(folder / name) as temporary:
                torch.save(state, temporary)
        except (OSError, RuntimeError) as error:  # the latter is torch's where a disk is full
            raise Failure(
                f"{folder / name} could not be written: {reason_of(error)}; make room on that "
                "disk, or lower train.max_checkpoints. The same command resumes from the "
                "checkpoint before"
            ) from None
    return time.monotonic() - start_s
