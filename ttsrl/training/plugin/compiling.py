"""Compiles what speeds a GPU's update up, when verl shards the policy; if it can compile at all."""

from __future__ import annotations

import logging
from typing import Any

import torch
import verl.utils.fsdp_utils

from ttsrl.training.compiling import compiles_layers
from ttsrl.training.environment import run_here
from ttsrl.training.plugin.compiled_head import compile_head
from ttsrl.training.plugin.compiled_layers import compile_layers

log = logging.getLogger(__name__)
fsdp_utils: Any = verl.utils.fsdp_utils
_units_before = fsdp_utils._select_fsdp2_wrap_targets


def compile_update(model_type: str, device: str) -> None:
    """The soft-max, and the layers where the run has them compiled."""
    if trouble := compiler_trouble(device):
        log.warning(
            "torch cannot compile for this machine's %s, so updates take more time and memory than "
            "estimated: %s. Triton needs a C compiler (gcc) and Python's headers",
            device,
            trouble,
        )
        return
    compile_head()
    if compiles_layers(run_here(), model_type):
        compile_layers(model_type)


def compiler_trouble(device: str) -> str | None:
    """Why a function of one line cannot be compiled and run; None: it can."""
    try:
        torch.compile(lambda x: x * 2 + 1)(torch.ones(8, device=device))
    except Exception as error:  # inductor, Triton and the C compiler each have their own
        return next(iter(str(error).strip().splitlines()), type(error).__name__)
    return None


def _units(model: Any, layers: list[str]) -> list[Any]:
    """verl asks for them once, after it has loaded the policy."""
    if torch.cuda.is_available():
        compile_update(model.config.model_type, "cuda")
    return _units_before(model, layers)


fsdp_utils._select_fsdp2_wrap_targets = _units
