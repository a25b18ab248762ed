"""A published run brought into a local folder, as far as its report wants it."""

from __future__ import annotations

import shutil
from pathlib import Path

from ttsrl.config.evaluation import HELD_OUT
from ttsrl.config.load import load_text
from ttsrl.config.schema import RunConfig
from ttsrl.errors import BadInput
from ttsrl.evaluation.during.plan import local
from ttsrl.evaluation.shard import BEFORE, named_suites
from ttsrl.records.best import BEST
from ttsrl.records.during import CHANGE, FOLDER
from ttsrl.records.evaluation import REPORT
from ttsrl.records.guard import GUARDS
from ttsrl.storage.published import RUN
from ttsrl.storage.run_store import RunStore

LOG_FOLDER = "log/"
"""Where a checkpoint keeps the step log."""


def bring_run(store: RunStore, folder: Path) -> None:
    """What storage has of a run up to now: its log, its evaluations. Raises BadInput where no run
    is published, StorageError."""
    text = store.storage.read_text(store.run_json)
    where = store.storage.address(store.run_json)
    if text is None:
        raise BadInput(f"no run is published: {where} is missing; `ttsrl train` writes it")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RUN).write_text(text, encoding="utf-8")
    run = load_text(text, [], where)
    if (step := store.newest_checkpoint()) is not None:
        bring_step_log(store, step, folder)
    _bring_running_log(store, folder)
    bring_best(store, folder)
    bring_changes(run, store, folder)
    for suite, name in named_suites(run, None, None).items():
        _bring_evaluations(store, name, folder / "eval" / ("" if suite == HELD_OUT else suite))


def bring_step_log(store: RunStore, step: int, folder: Path) -> None:
    """The log of training up to the step, out of its checkpoint."""
    key = store.checkpoint(step)
    if not store.storage.is_complete(key):
        return  # a checkpoint may be deleted once its model is merged; the page does without
    pulled = folder / "checkpoint"
    store.storage.pull(key, pulled, replace=True, wanted=lambda path: path.startswith(LOG_FOLDER))
    shutil.copytree(pulled / LOG_FOLDER, folder / "train", dirs_exist_ok=True)
    shutil.rmtree(pulled)
    _bring_text(store, store.guards_log, folder / "train" / GUARDS)


def bring_best(store: RunStore, folder: Path) -> None:
    """Which model is the best up to now, and why; nothing stays where none is named."""
    (folder / FOLDER / BEST).unlink(missing_ok=True)
    _bring_text(store, store.best, folder / FOLDER / BEST)


def bring_changes(run: RunConfig, store: RunStore, folder: Path) -> None:
    """What was heard of the checkpoints while training went on."""
    if (during := run.eval.during_training) is None:
        return
    for step in store.list_evaluated(during.folder):
        store.storage.pull(
            store.eval(during.folder, step),
            local(folder / FOLDER, step),
            replace=True,
            wanted=lambda path: path in (REPORT, CHANGE),
        )


def _bring_running_log(store: RunStore, folder: Path) -> None:
    """Steps after the newest checkpoint, too."""
    _bring_text(store, store.steps_log, folder / "train" / "steps.jsonl")
    _bring_text(store, store.guards_log, folder / "train" / GUARDS)


def _bring_text(store: RunStore, key: str, file: Path) -> None:
    if (text := store.storage.read_text(key)) is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


def _bring_evaluations(store: RunStore, name: str, folder: Path) -> None:
    steps = store.list_evaluated(name)
    places = {BEFORE: "before"} | {step: "after" for step in steps if step != BEFORE}
    for step in steps:
        if step in (BEFORE, steps[-1]):
            store.storage.pull(store.eval(name, step), folder / places[step], replace=True)
