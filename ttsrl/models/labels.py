"""The labels of a classifier, by the names that its config.json gives them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ttsrl.errors import BadInput, did_you_mean
from ttsrl.models.hub import local_folder

SHOWN = 40
"""So many labels stand in an error; models of the sounds of everyday life have hundreds."""


class Labels:
    """Names of a classifier's outputs, found whatever their case."""

    def __init__(self, model: str, index_of: Mapping[str, int]) -> None:
        self._model = model
        self.index_of = dict(index_of)
        self._folded: dict[str, list[str]] = {}
        for name in self.index_of:
            self._folded.setdefault(_fold(name), []).append(name)

    def index(self, name: str) -> int:
        """Raises BadInput for a name that the model does not have, or has twice but for case."""
        if name in self.index_of:
            return self.index_of[name]
        found = self._folded.get(_fold(name), [])
        if len(found) == 1:
            return self.index_of[found[0]]
        if found:
            raise BadInput(
                f"the label {name!r} may be {' or '.join(map(repr, found))} of {self._model}; "
                "write it as the model does"
            )
        shown = ", ".join(list(self.index_of)[:SHOWN])
        more = f" and {rest} others" if (rest := len(self.index_of) - SHOWN) > 0 else ""
        raise BadInput(
            f"no label {name!r} in {self._model}{did_you_mean(name, self.index_of)}; it has "
            f"{shown}{more}"
        )


def labels_of(model: str) -> Labels:
    """The labels of a classifier's folder or Hugging Face id, of which only the configuration is
    looked at. Raises BadInput.
    """
    folder = local_folder(model)
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(
            f"the model at {folder} has no config.json that can be read ({type(error).__name__}); "
            "give the folder of a Hugging Face audio classifier"
        ) from None
    return labels_in(str(folder), config)


def labels_in(model: str, config: Mapping[str, Any]) -> Labels:
    """The labels of a configuration. Raises BadInput for one that chooses between none."""
    names = config.get("id2label")
    if not isinstance(names, Mapping) or len(names) < 2:
        raise BadInput(
            f"the model at {model} has fewer than two labels (id2label), so its speech is always "
            "of the same; give an audio classifier"
        )
    if config.get("problem_type") == "regression":
        raise BadInput(
            f"the model at {model} gives numbers (problem_type regression), not labels; give a "
            "classifier"
        )
    labels = {str(name): int(index) for index, name in names.items()}
    if len(labels) < len(names):
        raise BadInput(f"the model at {model} has two labels of one name; correct id2label")
    return Labels(model, labels)


def _fold(name: str) -> str:
    return name.strip().casefold()
