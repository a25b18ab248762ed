"""verl's configuration, composed from its own files without importing verl."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from ttsrl.config.schema import RunConfig
from ttsrl.errors import BadInput
from ttsrl.training.verl_args import RayThere, verl_keys


def configuration(keys: Mapping[str, Any]) -> DictConfig:
    """verl's defaults with these keys set.

    Raises BadInput for an unknown key without a leading +.
    """
    verl = find_spec("verl")
    assert verl and verl.submodule_search_locations
    folder = Path(verl.submodule_search_locations[0]) / "trainer" / "config"
    with initialize_config_dir(str(folder), version_base=None):
        config = compose("ppo_trainer")
    for key, value in keys.items():
        parent, _, last = key.rpartition(".")
        if not key.startswith("+") and last not in list(OmegaConf.select(config, parent) or {}):
            raise BadInput(f"verl 0.9.1 has no key {key!r}; write +{key} to add it all the same")
        OmegaConf.update(config, key.lstrip("+"), value, force_add=True)
    return config


def check_verl_keys(run: RunConfig, device: str) -> None:
    """verl must have the keys of `run.verl`, and ttsrl must leave them to the user.

    Raises BadInput.
    """
    if run.verl:
        configuration(verl_keys(run, Path(), device, RayThere({})))
