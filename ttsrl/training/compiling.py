"""Which policies' layers are compiled where they train on a GPU."""

from __future__ import annotations

from ttsrl.config.schema import RunConfig

POLICIES = frozenset({"llama", "qwen2"})
"""`model_type` of those whose compiled layers are tested to give the update of the plain ones."""


def compiles_layers(run: RunConfig, model_type: str) -> bool:
    """Whether a GPU's update of this run does.

    With adapters it does not: PEFT's layers in the place of the plain ones were not tried.
    """
    return run.train.compile_layers and run.train.lora is None and model_type in POLICIES
