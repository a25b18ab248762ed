"""verl's main program with ttsrl's trainer: `python -m jobs.train.verl_main KEYS.json`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import ray
from hydra import compose, initialize_config_module
from omegaconf import DictConfig, OmegaConf
from verl.trainer.main_ppo import TaskRunnerV1, run_ppo
from verl.trainer.ppo.utils import need_critic, need_reference_policy
from verl.utils.config import validate_config

# verl decorates its runner with ray.remote; a subclass needs the plain class behind it
_PlainRunner: Any = cast(Any, TaskRunnerV1).__ray_metadata__.modified_class


class SpeechTaskRunner(_PlainRunner):
    """verl's task runner, in a process where our trainer and estimator are registered."""

    def run(self, config: Any) -> None:
        import jobs.train.advantage
        import jobs.train.trainer  # noqa: F401

        super().run(config)


def configuration(keys: Mapping[str, Any]) -> DictConfig:
    """verl's defaults with these keys set; an unknown key without a leading + is refused."""
    with initialize_config_module("verl.trainer.config", version_base=None):
        config = compose("ppo_trainer")
    for key, value in keys.items():
        parent, _, last = key.rpartition(".")
        if not key.startswith("+") and last not in list(OmegaConf.select(config, parent) or {}):
            raise SystemExit(f"verl 0.9.1 has no key {key!r}; write +{key} to add it all the same")
        OmegaConf.update(config, key.lstrip("+"), value, force_add=True)
    return config


def main(keys_file: str) -> None:
    """Train with the keys of a JSON file."""
    config = configuration(json.loads(Path(keys_file).read_text(encoding="utf-8")))
    validate_config(
        config=config,
        use_reference_policy=need_reference_policy(config),
        use_critic=need_critic(config),
    )
    run_ppo(config, task_runner_class=ray.remote(SpeechTaskRunner))


if __name__ == "__main__":
    main(sys.argv[1])
