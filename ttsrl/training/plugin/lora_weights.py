"""Weights of a policy with adapters, on their way to the rollouts: each one is merged by itself.

verl merges all adapters into the policy's own weights, sends these, and puts a copy back that it
has made in host memory before. That took 6 to 9 s of each step with 1.4 billion parameters on an
H200. Here a weight W with adapters A and B is sent as W + s B A, with s their scaling (LoRA, arXiv
2106.09685, section 4.1), and what is trained is never touched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import torch
import verl.utils.fsdp_utils

from ttsrl.training.environment import run_here

fsdp_utils: Any = verl.utils.fsdp_utils
_units_before = fsdp_utils._select_fsdp2_wrap_targets
BASE = ".base_layer.weight"
"""How the name ends of a weight that has adapters."""


@cache
def merge_one_by_one() -> None:
    """Have this process' engine send its weights so."""
    from verl.workers.engine.fsdp.transformer_impl import FSDPEngine

    engine_of_verl: Any = FSDPEngine
    engine_of_verl._merged_lora_per_tensor_param = merged_weights


@torch.no_grad()
def merged_weights(engine: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """Name and value of each weight, as the policy without adapters has them; bfloat16, whole.

    Every rank has to iterate to the end: a weight's parts are gathered when it is its turn.
    """
    from peft.tuners.lora import LoraLayer
    from verl.utils.device import get_device_id
    from verl.utils.model import convert_weight_keys

    device = get_device_id()
    adapted = {n: m for n, m in engine.module.named_modules() if isinstance(m, LoraLayer)}
    plain: Callable[[dict[str, Any]], dict[str, Any]] = fsdp_utils.normalize_peft_param_name
    state = engine.module.state_dict()
    names: dict[str, Any] = convert_weight_keys(plain({n: n for n in state}), engine.module)
    try:
        for name, stored in names.items():
            weight = whole(state[stored], device)
            layer: Any = adapted.get(stored.removesuffix(BASE)) if stored.endswith(BASE) else None
            for adapter in layer.active_adapters if layer else ():
                weight = weight + whole(layer.get_delta_weight(adapter), device)
            yield name, weight.to(torch.bfloat16)
    finally:
        if engine._is_offload_param:
            fsdp_utils.offload_fsdp_model_to_cpu(engine.module)


def whole(tensor: Any, device: Any) -> torch.Tensor:
    """A copy on the device; of a tensor that ranks share, all of it."""
    moved = tensor.detach().to(device, non_blocking=True)
    return moved.full_tensor() if hasattr(moved, "full_tensor") else moved.clone()


def _units(model: Any, layers: list[str]) -> list[Any]:
    """verl asks for them once, in the process that shards the policy."""
    if run_here().train.lora is not None:
        merge_one_by_one()
    return _units_before(model, layers)


fsdp_utils._select_fsdp2_wrap_targets = _units
