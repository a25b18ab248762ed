"""Where the evaluation gets the model of a checkpoint from.

Merging needs verl, and evaluation may need libraries that do not go with it: in a cluster two
containers of one pod share a folder. One asks by a file `step_N.wanted`; the other answers by the
model's folder `step_N`, or by a file `step_N.refused` with the reason.
"""

from __future__ import annotations

import importlib
import shutil
import time
from abc import ABC, abstractmethod
from pathlib import Path

from ttsrl.config.load import load_run
from ttsrl.errors import BadInput, Failure
from ttsrl.runtime.exit_codes import exit_on_sigterm
from ttsrl.runtime.kept import KeptProcess
from ttsrl.storage.atomic import replace_text
from ttsrl.storage.run_store import RunStore

POLL_S = 0.5
SAY_EVERY_S = 60.0
HALF = ".merge-*"
"""Folders in which a merge that was killed was at work."""


def merge_into(config: Path, step: int, model: Path) -> None:
    """A call: merge the published checkpoint of a step into the folder `model`."""
    from ttsrl.evaluation.merge import merge_checkpoint

    run = load_run(config)
    merge_checkpoint(RunStore(run.storage, run.name), step, model)


def load_merger() -> None:
    """A call: import what merging needs, before there is a checkpoint."""
    importlib.import_module("verl.model_merger.fsdp_model_merger")


def merging(log: Path) -> KeptProcess:
    """The process that merges: shards are merged in RAM."""
    return KeptProcess("merge", log, {"CUDA_VISIBLE_DEVICES": ""})


class CheckpointModels(ABC):
    """Models of steps in a folder of this machine."""

    def __init__(self, folder: Path, store: RunStore) -> None:
        self.folder = folder
        self._store = store
        folder.mkdir(parents=True, exist_ok=True)
        _remove(folder, "step_*")  # an earlier evaluation's

    def of(self, step: int) -> Path:
        """The model after `step` updates: as published, else merged. Raises BadInput, Failure."""
        model = self._folder_of(step)
        if not model.is_dir():
            if self._store.storage.is_complete(self._store.model(step)):
                self._store.storage.pull(self._store.model(step), model)
            else:
                self._merge(step, model)
        return model

    def has(self, step: int) -> bool:
        """Whether it is here."""
        return self._folder_of(step).is_dir()

    def forget(self, step: int) -> None:
        """Free the disk."""
        _remove(self.folder, f"step_{step:06d}*")

    def forget_after(self, newest: int) -> None:
        """Forget the models of all steps after one."""
        for step in {int(path.name[5:11]) for path in self.folder.glob("step_*")}:
            if step > newest:
                self.forget(step)

    def _folder_of(self, step: int) -> Path:
        return self.folder / f"step_{step:06d}"

    @abstractmethod
    def get_ready(self) -> None:
        """There is time before the next checkpoint."""

    @abstractmethod
    def stop(self) -> None:
        """End what merges here."""

    @abstractmethod
    def _merge(self, step: int, model: Path) -> None: ...


class MergedHere(CheckpointModels):
    """Merged by a process of this one's."""

    def __init__(self, folder: Path, store: RunStore, config: Path, log: Path) -> None:
        super().__init__(folder, store)
        _remove(folder, HALF)
        self._config = config
        self._merging = merging(log)
        self._is_ready = False

    def get_ready(self) -> None:
        if not self._is_ready:
            self._is_ready = True
            self._merging.begin(load_merger)

    def stop(self) -> None:
        self._merging.stop()

    def _merge(self, step: int, model: Path) -> None:
        self._merging.call(merge_into, self._config, step, model)


class MergedBeside(CheckpointModels):
    """Merged by another container of the pod, which runs `merge_what_is_wanted`."""

    def get_ready(self) -> None:
        """That container imports for itself."""

    def stop(self) -> None:
        """It is not ours to end."""

    def _merge(self, step: int, model: Path) -> None:
        refused = model.with_suffix(".refused")
        refused.unlink(missing_ok=True)
        replace_text(model.with_suffix(".wanted"), "")
        said_s = time.monotonic()
        while not model.is_dir():
            if refused.is_file():
                raise Failure(refused.read_text(encoding="utf-8"))
            if time.monotonic() - said_s > SAY_EVERY_S:
                said_s = time.monotonic()
                print(f"waiting for the merge of step {step}", flush=True)
            time.sleep(POLL_S)


def merge_what_is_wanted(config: Path, folder: Path) -> None:
    """Merge what `MergedBeside` asks for, until this process is ended. Raises BadInput."""
    load_run(config)
    exit_on_sigterm()
    folder.mkdir(parents=True, exist_ok=True)
    _remove(folder, HALF)
    with merging(folder / "merge.log") as process:
        process.begin(load_merger)
        while True:
            for wanted in sorted(folder.glob("step_*.wanted")):
                _answer(process, config, wanted)
            time.sleep(POLL_S)


def _answer(process: KeptProcess, config: Path, wanted: Path) -> None:
    """Merge the step that a file asks for, or say why not; the file is removed last."""
    model = wanted.with_suffix("")
    step = int(model.name.removeprefix("step_"))
    try:
        process.call(merge_into, config, step, model)
        print(f"merged step {step}", flush=True)
    except (BadInput, Failure) as error:
        print(f"step {step} is not merged: {error}", flush=True)
        replace_text(model.with_suffix(".refused"), str(error))
    wanted.unlink(missing_ok=True)


def _remove(folder: Path, pattern: str) -> None:
    for left in folder.glob(pattern):
        if left.is_dir():
            shutil.rmtree(left)
        else:
            left.unlink(missing_ok=True)
