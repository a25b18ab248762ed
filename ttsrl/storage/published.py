"""Published runs by their address, `s3://bucket/prefix/runs/NAME` or the same below a folder."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from ttsrl.errors import BadInput
from ttsrl.records.best import BestModel
from ttsrl.records.record import parse
from ttsrl.storage.run_store import RunStore

What = Literal["model", "checkpoint"]
RUN = "run.json"
"""File of a merged model: the configuration of the run that it is of."""


def open_run(address: str) -> RunStore:
    """The run at an address. Raises BadInput for an address that is none."""
    found = re.fullmatch(r"(?:(.*)/)?runs/([^/]+)/*", address)
    if found is None:
        raise BadInput(
            f"{address!r} is not an address of a run; give s3://bucket/prefix/runs/NAME, "
            "or a storage folder's runs/NAME"
        )
    return RunStore(found[1] or ".", found[2])


def best_model(store: RunStore) -> BestModel:
    """The model that evaluated best. Raises BadInput where none was evaluated."""
    pointer = store.storage.read_json(store.best)
    if pointer is None:
        raise BadInput(
            f"no model is known to be the best: {store.storage.address(store.best)} is written by "
            "the evaluation in a cluster (`ttsrl eval --cluster`) and by that beside training "
            "(eval.during_training), where a model broke no guard; leave --best out for the newest"
        )
    return parse(BestModel, json.dumps(pointer), store.storage.address(store.best))


def pull_from(
    store: RunStore,
    what: What,
    step: int | None,
    folder: Path,
    on_progress: Callable[[int, int], None] | None = None,
) -> int:
    """Pull the merged model or the training state of a step, the newest if None; returns the step.

    `on_progress` gets (bytes done, bytes in all). Raises BadInput, StorageError.
    """
    steps = store.list_models() if what == "model" else store.list_checkpoints()
    if not steps:
        way_out = (
            "; merge one: `ttsrl merge`" if what == "model" else "; train first: `ttsrl train`"
        )
        raise BadInput(
            f"no {what} is published at {store.storage.address(store.run_json)}{way_out}"
        )
    if step is not None and step not in steps:
        raise BadInput(f"no {what} of step {step} is published; there are {steps}")
    newest = steps[-1] if step is None else step
    prefix = store.model(newest) if what == "model" else store.checkpoint(newest)
    store.storage.pull(prefix, folder, on_progress)
    return newest
