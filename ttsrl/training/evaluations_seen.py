"""Evaluations of a run as storage gets them, read in a thread: storage may take its time."""

from __future__ import annotations

import threading
from queue import Empty, SimpleQueue
from typing import Self

from ttsrl.config.schema import RunConfig
from ttsrl.errors import BadInput, Failure
from ttsrl.evaluation.published_measures import PublishedMeasures
from ttsrl.storage.run_store import RunStore

EVERY_S = 3.0
Measured = dict[int, dict[str, float]]
"""Step -> measures of its evaluations."""


class EvaluationsSeen:
    """Looks for new evaluations for as long as it is entered."""

    def __init__(self, run: RunConfig, store: RunStore) -> None:
        self._published = PublishedMeasures(run, store, during_training=True)
        self._found: SimpleQueue[Measured] = SimpleQueue()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="evaluations-seen", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()

    def new(self) -> Measured:
        """What has come since the last question."""
        measured: Measured = {}
        while True:
            try:
                for step, measures in self._found.get_nowait().items():
                    measured.setdefault(step, {}).update(measures)
            except Empty:
                return measured

    def _run(self) -> None:
        said = ""
        while not self._ended.is_set():
            try:
                if found := self._published.look():
                    self._found.put(found)
            except (BadInput, Failure) as error:
                if str(error) != said:
                    said = str(error)
                    print(f"guards cannot read the run's evaluations: {said}", flush=True)
            self._ended.wait(EVERY_S)
