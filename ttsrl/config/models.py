"""Whether the models that a run names are there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from ttsrl.errors import BadInput

ID_AT_REVISION = re.compile(r"(\w[\w.-]*(?:/[\w.-]+)?)@(.+)")


def split_revision(model: str) -> tuple[str, str | None]:
    """A Hugging Face id and the revision behind its `@`: a commit, branch or tag; None: none."""
    found = ID_AT_REVISION.fullmatch(model)
    return (found[1], found[2]) if found else (model, None)


def is_same_model(a: str, b: str) -> bool:
    """Whether two names are of one folder or of one id, at whatever revision."""
    return a == b or split_revision(a)[0] == split_revision(b)[0]


def check_models(models: Mapping[str, str]) -> None:
    """Look whether models, by the keys that name them, are there, before anything takes time.

    Raises BadInput. An id of Hugging Face and a model of the wrong kind are found out on loading.
    """
    for key, model in models.items():
        path, repository = Path(model), split_revision(model)[0]
        is_path = repository.startswith((".", "/", "~")) or repository.count("/") > 1
        if not path.exists() and is_path:
            raise BadInput(f"{key} = {model}: there is no such folder or file; correct the path")
        if path.is_dir() and not any(path.iterdir()):
            raise BadInput(f"{key} = {model}: the folder is empty; give one with a model in it")
