"""Models whose weights a Python package ships: the package's name stands for them."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from ttsrl.errors import BadInput


@dataclass(frozen=True)
class PackagedModel:
    """Where a package keeps its weights, and which extra of ttsrl installs it."""

    inside: str
    """File or folder, from the package's own folder on."""
    extra: str


PACKAGED = {
    "distillmos": PackagedModel("weights/distill_mos_v7.pt", "reward"),
    "moonshine_voice": PackagedModel("assets/tiny-en", "moonshine"),
    "pocketsphinx": PackagedModel("model/en-us", "pocketsphinx"),
    "resemblyzer": PackagedModel("pretrained.pt", "resemblyzer"),
    "speechmos": PackagedModel("dnsmos_models/sig_bak_ovr.onnx", "reward"),
}
"""Name of the package, which a run may give as a model -> its weights."""


def packaged_model(name: str) -> Path:
    """File or folder with the weights of the package `name`, which is not imported for it.

    Raises BadInput where the package is not installed.
    """
    model = PACKAGED[name]
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise BadInput(
            f"the weights of {name} are in the package {name}, which is not installed; install "
            f"the extra {model.extra!r}"
        )
    return Path(spec.origin).parent / model.inside


def located(model: str) -> str:
    """A model as it is given, or where its package keeps it. Raises BadInput."""
    if model not in PACKAGED or Path(model).exists():
        return model
    return str(packaged_model(model))
