"""Whether the models that a run names are there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ttsrl.errors import BadInput


def check_models(models: Mapping[str, str]) -> None:
    """Look whether models, by the keys that name them, are there, before anything takes time.

    Raises BadInput. An id of Hugging Face and a model of the wrong kind are found out on loading.
    """
    for key, model in models.items():
        path = Path(model)
        if not path.exists() and (model.startswith((".", "/", "~")) or model.count("/") > 1):
            raise BadInput(f"{key} = {model}: there is no such folder or file; correct the path")
        if path.is_dir() and not any(path.iterdir()):
            raise BadInput(f"{key} = {model}: the folder is empty; give one with a model in it")
