"""What is left in storage where trying again would end the same way."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager

from ttsrl.config.load import config_hash
from ttsrl.config.schema import RunConfig
from ttsrl.errors import BadInput, Failure
from ttsrl.records.training_end import TrainingEnd
from ttsrl.storage.run_store import RunStore


@contextmanager
def refusals_noted(run: RunConfig, store: RunStore) -> Generator[None]:
    """Write down what refuses the run in the block, for who evaluates its checkpoints."""
    try:
        yield
    except BadInput as error:
        if run.eval.during_training is not None:
            note_end(store, str(error), config_hash(run))
        raise


def note_end(store: RunStore, why: str, config: str | None = None) -> None:
    """Write down that training has ended; storage that fails changes nothing about the end."""
    end = TrainingEnd(why=why, config=config, at_s=time.time())
    try:
        store.storage.write_json(store.ended, end.model_dump())
    except (BadInput, Failure) as error:
        print(f"the end is not noted in storage: {error}", flush=True)
