"""The evaluations of a run: in its folder, as a quickstart leaves them, and in storage."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ttsrl.config.evaluation import HELD_OUT
from ttsrl.config.schema import RunConfig
from ttsrl.errors import BadInput, Failure
from ttsrl.evaluation.report.comparison import verdict
from ttsrl.evaluation.report.inputs import Evaluation, read_run_folder
from ttsrl.records.evaluation import REPORT, ROWS, EvaluationReport
from ttsrl.records.record import read_file
from ttsrl.records.tracking import Told
from ttsrl.storage.run_store import RunStore
from ttsrl.tracking.base import EvaluationNote
from ttsrl.tracking.figures import of_evaluation

BASE = 0
"""Step of the policy before training."""
LOOK_EVERY_S = 30.0
"""Seconds between two looks into storage."""


class Evaluations:
    """Used by the threads of all trackers."""

    def __init__(self, run: RunConfig, work_dir: Path, store: RunStore) -> None:
        self._run, self._work_dir, self._store = run, work_dir, store
        self._folders: dict[tuple[str, int], Path] = {}
        self._notes: dict[tuple[str, int], EvaluationNote | None] = {}
        self._looked_s = -LOOK_EVERY_S
        self._lock = threading.Lock()

    def notes(self, told: Told) -> list[EvaluationNote]:
        """The evaluations that a tracker has not been told of, by suite and step.

        One is told once that of the policy before training is there to compare with.
        """
        with self._lock:
            self._look()
            found: list[EvaluationNote] = []
            for suite, step in sorted(self._folders):
                if f"{suite}/{step}" in told.evaluations or (suite, BASE) not in self._folders:
                    continue
                if (note := self._note(suite, step)) is not None:
                    found.append(note)
            return found

    def forget_after(self, step: int) -> None:
        """The run was set back to a step: what is known of later models is looked for again."""
        with self._lock:
            for key in [key for key in self._folders if key[1] > step]:
                del self._folders[key]
                self._notes.pop(key, None)
            self._looked_s = -LOOK_EVERY_S

    def _look(self) -> None:
        self._folders |= dict(self._in_folder())
        if time.monotonic() - self._looked_s < LOOK_EVERY_S:
            return
        self._looked_s = time.monotonic()
        try:
            self._folders |= dict(self._in_storage())
        except (BadInput, Failure) as error:
            print(f"evaluations in storage: {error}", flush=True)

    def _in_folder(self) -> Iterator[tuple[tuple[str, int], Path]]:
        last = self._run.train.steps
        folder = self._work_dir / "eval"
        suites = {suite.name: folder / suite.name for suite in self._run.eval.suites}
        for suite, where in {HELD_OUT: folder, **suites}.items():
            for step, name in ((BASE, "before"), (last, "after")):
                if (where / name / REPORT).is_file():
                    yield (suite, step), where / name

    def _in_storage(self) -> Iterator[tuple[tuple[str, int], Path]]:
        storage, below = self._store.storage, f"{self._store.evaluations}/"
        for key in storage.list_complete(self._store.evaluations):
            suite, _, name = key.removeprefix(below).rpartition("/")
            number = name.removeprefix("step_")
            if not number.isdigit() or "/" in suite or (suite, int(number)) in self._folders:
                continue
            folder = self._work_dir / "trackers" / "evaluations" / suite / name
            storage.pull(key, folder, replace=True, wanted=lambda path: path in (REPORT, ROWS))
            report = read_file(EvaluationReport, folder / REPORT)
            if report and self._store.set_backs().gave_up(int(number), report.rollbacks):
                continue  # it is about to be removed, and to be made anew
            yield (suite, int(number)), folder

    def _note(self, suite: str, step: int) -> EvaluationNote | None:
        """Made once; None for one that cannot be read."""
        if (suite, step) not in self._notes:
            try:
                self._notes[suite, step] = self._made(suite, step)
            except BadInput as error:
                print(f"evaluation {suite} of step {step} is left out: {error}", flush=True)
                self._notes[suite, step] = None
        return self._notes[suite, step]

    def _made(self, suite: str, step: int) -> EvaluationNote | None:
        base, this = (Evaluation.read(self._folders[suite, at]) for at in (BASE, step))
        if base is None or this is None:
            return None
        run = self._run
        figures, comparison = of_evaluation(
            suite, step, base, this, samples=run.eval.bootstrap_samples, seed=run.seed
        )
        words = ""
        if suite == HELD_OUT and step != BASE:
            folder = replace(read_run_folder(self._work_dir), before=base, after=this)
            words = " ".join(verdict(folder, comparison))
        if pointer := self._store.storage.read_json(self._store.best):
            figures["eval/best_step"] = float(pointer["step"])
        ended_at_s = (self._folders[suite, step] / REPORT).stat().st_mtime
        return EvaluationNote(suite, step, ended_at_s, figures, words)
