"""The measures of a run's evaluations in storage, each read once."""

from __future__ import annotations

from ttsrl.config.evaluation import HELD_OUT
from ttsrl.config.schema import RunConfig
from ttsrl.evaluation.measures import Evaluated, measures_of
from ttsrl.models.kinship import as_said_now
from ttsrl.records.evaluation import REPORT, ROWS, EvaluationReport, EvaluationRow
from ttsrl.records.record import parse
from ttsrl.storage.run_store import RunStore

BEFORE = 0
"""Step of the policy before training."""


class PublishedMeasures:
    """Looks for evaluations that are new."""

    def __init__(self, run: RunConfig, store: RunStore, *, during_training: bool) -> None:
        """`during_training`: where `eval.during_training` has a suite, its evaluations of fewer
        texts count, and not those of the whole suite. Both have their own base."""
        self._run = run
        self._store = store
        self._folders = {name: name for name in (HELD_OUT, *(s.name for s in run.eval.suites))}
        if during_training and (during := run.eval.during_training) is not None:
            self._folders[during.suite] = during.folder
        self._before: dict[str, Evaluated] = {}
        self._seen: set[tuple[str, int]] = set()

    def look(self) -> dict[int, dict[str, float]]:
        """Step -> measures, of what is new. Raises BadInput, StorageError."""
        found: dict[int, dict[str, float]] = {}
        for suite, folder in self._folders.items():
            steps = self._store.list_evaluated(folder)
            if BEFORE not in steps:
                continue
            if suite not in self._before:
                self._before[suite] = self._read(folder, BEFORE)
            for step in steps:
                if (suite, step) not in self._seen:
                    before = self._before[suite]
                    after = before if step == BEFORE else self._read(folder, step)
                    if self._store.set_backs().gave_up(step, after[0].rollbacks):
                        continue  # it is about to be removed, and to be made anew
                    found.setdefault(step, {}).update(measures_of(self._run, suite, after, before))
                    self._seen.add((suite, step))
        return found

    def _read(self, folder: str, step: int) -> Evaluated:
        storage, key = self._store.storage, self._store.eval(folder, step)
        report, rows = (storage.read_text(f"{key}/{name}") or "" for name in (REPORT, ROWS))
        place = storage.address(key)
        return (
            as_said_now(self._run, parse(EvaluationReport, report, place)),
            [parse(EvaluationRow, line, place) for line in rows.split("\n") if line],
        )
