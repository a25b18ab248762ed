"""The weights that a run's adapters lie beside, in its storage.

Checkpoints of a run with `train.lora` hold adapters alone. The base is published once, so that they
are merged wherever storage is read, with the weights that they were trained beside.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from ttsrl.config.schema import RunConfig
from ttsrl.errors import BadInput
from ttsrl.models.files import loaded_files
from ttsrl.models.hub import local_folder
from ttsrl.storage.run_store import RunStore


def publish_base(run: RunConfig, store: RunStore) -> None:
    """Publish the policy that the run began with; what is there already costs a look at the files.

    Raises BadInput where that is another model's, StorageError.
    """
    folder = local_folder(run.model).resolve()
    with TemporaryDirectory(prefix="ttsrl-base-") as links:
        for file in loaded_files(folder):
            link = Path(links) / file.relative_to(folder)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(file)
        try:
            store.storage.publish(Path(links), store.base)
        except BadInput as error:
            if not store.storage.is_complete(store.base):
                raise
            raise BadInput(
                f"{run.model} is not the model that run {run.name!r} began with, and its adapters "
                f"belong to that one: {error}. Put that model back, or give this run another name"
            ) from error
