"""The models that a run names: which key names which, and whether they are there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ttsrl.config.schema import RunConfig
from ttsrl.errors import BadInput


def models_of(run: RunConfig) -> dict[str, str]:
    """Every model that a run names, by the key that names it: `eval.judges[0].model`."""
    models = {
        "model": run.model,
        "codec": run.codec,
        "reward.whisper.model": run.reward.whisper.model,
    }
    for n, component in enumerate(run.reward.components):
        if (model := getattr(component, "model", None)) is not None:
            models[f"reward.components[{n}].model"] = model
    for n, judge in enumerate(run.eval.judges):
        models[f"eval.judges[{n}].model"] = judge.model
    for n, suite in enumerate(run.eval.suites):
        for m, judge in enumerate(suite.judges):
            models[f"eval.suites[{n}].judges[{m}].model"] = judge.model
        if suite.speaker_model is not None:
            models[f"eval.suites[{n}].speaker_model"] = suite.speaker_model
    return models


def check_models(models: Mapping[str, str]) -> None:
    """Look whether models, by the keys that name them, are there, before anything takes time.

    Raises BadInput. An id of Hugging Face and a model of the wrong kind are found out on loading.
    """
    for key, model in models.items():
        path = Path(model)
        if not path.exists() and (model.startswith((".", "/", "~")) or model.count("/") > 1):
            raise BadInput(f"{key} = {model}: there is no such folder; correct the path")
        if path.is_dir() and not any(path.iterdir()):
            raise BadInput(f"{key} = {model}: the folder is empty; give one with a model in it")
