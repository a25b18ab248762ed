"""The step log in storage while training runs, and what storage tells of the run in return.

Who watches a run from elsewhere reads `log/steps.jsonl` of its prefix. A failure here is counted
and costs nothing else: the log is published with each checkpoint anyway.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Self

from ttsrl.errors import BadInput, Failure
from ttsrl.models.kinship import as_said_now
from ttsrl.records.during import CHANGE, ChangeEstimate, ChangeFromBase, DuringTrainingState
from ttsrl.records.evaluation import REPORT, EvaluationReport
from ttsrl.records.guard import GUARDS
from ttsrl.records.record import R, parse, whole_lines
from ttsrl.storage.run_store import RunStore
from ttsrl.training.metrics import HeldOut, TrainMetrics

EVERY_S = 15.0
EVALUATIONS_EVERY = 8
"""Rounds between two looks for evaluations."""


class PublishedLog:
    """Uploads in a thread for as long as it is entered, and once more at the end."""

    def __init__(self, store: RunStore, train_dir: Path, metrics: TrainMetrics) -> None:
        self._store = store
        self._logs = {
            store.steps_log: train_dir / "steps.jsonl",
            store.guards_log: train_dir / GUARDS,
        }
        self._metrics = metrics
        self._uploaded = dict.fromkeys(self._logs, "")
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="published-log", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(EVERY_S)  # storage that hangs must not delay the end

    def upload(self) -> None:
        """Bring what has grown up to date."""
        for key, file in self._logs.items():
            whole = "".join(f"{line}\n" for line in whole_lines(file))
            if whole not in ("", self._uploaded[key]):
                self._store.storage.write_text(key, whole)
                self._uploaded[key] = whole

    def look_for_evaluations(self) -> None:
        """Tell the metrics the newest evaluation of each suite."""
        storage = self._store.storage
        newest: dict[str, tuple[int, str]] = {}
        for key in storage.list_complete(self._store.evaluations):
            suite, _, folder = key.removeprefix(f"{self._store.evaluations}/").rpartition("/")
            step = folder.removeprefix("step_")
            if step.isdigit():
                newest[suite] = max(newest.get(suite, (-1, "")), (int(step), key))
        for suite, (step, key) in newest.items():
            report = self._read(EvaluationReport, f"{key}/{REPORT}")
            if report and not self._store.set_backs().gave_up(step, report.rollbacks):
                report = as_said_now(self._metrics.run, report)
                change = self._read(ChangeFromBase, f"{key}/{CHANGE}")
                self._metrics.on_evaluation(_held_out(suite, step, report, change))
        if (during := self._metrics.run.eval.during_training) is not None:
            key = self._store.evaluation_state(during.folder)
            self._metrics.during_training = self._read(DuringTrainingState, key)

    def _read(self, kind: type[R], key: str) -> R | None:
        storage = self._store.storage
        text = storage.read_text(key)
        return None if text is None else parse(kind, text, storage.address(key))

    def _run(self) -> None:
        rounds = 0
        while not self._ended.wait(EVERY_S if rounds else 0.0):
            self._try(self.upload)
            if rounds % EVALUATIONS_EVERY == 0:
                self._try(self.look_for_evaluations)
            rounds += 1
        self._try(self.upload)

    def _try(self, action: Callable[[], None]) -> None:
        try:
            action()
        except (BadInput, Failure) as error:
            self._metrics.log_upload_errors += 1
            print(f"step log not published, trying again: {error}", flush=True)


def _held_out(
    suite: str, step: int, report: EvaluationReport, change: ChangeFromBase | None
) -> HeldOut:
    cer = {
        (judge, decoding): heard.mean_cer
        for decoding, mode in report.modes.items()
        for judge, heard in mode.judges.items()
        if heard.mean_cer is not None
    }
    changes = _cer_changes(change) if change else {}
    return HeldOut(suite, step, cer, report.judges, report.adaptation, changes)


def _cer_changes(change: ChangeFromBase) -> dict[tuple[str, str], ChangeEstimate]:
    return {
        (metric.removeprefix("cer/"), decoding): moved.difference
        for metric, by_decoding in change.metrics.items()
        if metric.startswith("cer/")
        for decoding, moved in by_decoding.items()
        if moved is not None
    }
