"""A policy's norms, MLPs and rotary positions, compiled: fewer passes over memory on a GPU.

verl's FSDP engine compiles nothing of a model (its `use_torch_compile` is the entropy of whole
logits). Compiled are small functions that all layers share, and not whole layers: attention over
packed rollouts and FSDP's hooks stay outside. The number of tokens is symbolic, so passes of other
lengths compile nothing more.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import torch


def compiled(function: Any) -> Any:
    """For any number of tokens; what is compiled stays as it is."""
    if hasattr(function, "_torchdynamo_orig_callable"):
        return function
    return torch.compile(function, dynamic=True)


def compile_layers(model_type: str) -> None:
    """Of all policies of this type in this process."""
    modeling: Any = import_module(f"transformers.models.{model_type}.modeling_{model_type}")
    for name, layer in list(vars(modeling).items()):
        # what a replacement such as Liger's has put there is compiled already
        if name.endswith(("RMSNorm", "MLP")) and layer.__module__ == modeling.__name__:
            layer.forward = compiled(layer.forward)
    if modeling.apply_rotary_pos_emb.__module__ == modeling.__name__:
        modeling.apply_rotary_pos_emb = compiled(modeling.apply_rotary_pos_emb)
