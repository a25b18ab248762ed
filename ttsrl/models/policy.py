"""Whether a folder holds a whole policy: found out by its files, before any GPU is spent."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from transformers import AutoConfig, AutoModelForCausalLM

from ttsrl.errors import BadInput, reason_of
from ttsrl.models.files import weight_files
from ttsrl.models.hub import COMPUTED, LOST, load_part

LOST_BIAS = (
    "{}: its lm_head.bias is left out by transformers, vLLM and verl alike. CosyVoice's own script "
    "has written it; `ttsrl convert` folds the official checkpoint's bias into the weights"
)


def check_policy_weights(folder: Path) -> list[str]:
    """Raise BadInput unless the weights are all there, finite, and of the size of config.json.

    Returns what is to be known of the others. Every tensor is read once, one at a time; no model is
    built.
    """
    wanted, tied = _shapes_of_config(folder)
    found: set[str] = set()
    for file in weight_files(folder):
        try:
            for name, tensor in _tensors(file):
                found.add(name)
                _check_tensor(file, name, tensor, wanted)
        except (SafetensorError, OSError, RuntimeError, EOFError) as error:
            raise BadInput(
                f"{file} cannot be read: {error}; copy it again, it may have been cut short"
            ) from error
    if missing := sorted(wanted.keys() - found - tied):
        raise BadInput(
            f"the model at {folder} lacks {len(missing)} weights, first {missing[0]}; use a whole "
            "model of that kind, or copy it again"
        )
    harmless = (*COMPUTED, *LOST)
    unexpected = [
        name
        for name in sorted(found - wanted.keys())
        if not any(re.search(pattern, name) for pattern in harmless)
    ]
    if unexpected:
        raise BadInput(
            f"the model at {folder} has {len(unexpected)} weights that a model of its config.json "
            f"has not, first {unexpected[0]}; use a model of that kind"
        )
    return [LOST_BIAS.format(folder)] if "lm_head.bias" in found - wanted.keys() else []


def parameters_of(folder: Path) -> int:
    """Number of parameters of a folder's model, by its config.json alone. Raises BadInput."""
    wanted, tied = _shapes_of_config(folder)
    return sum(torch.Size(shape).numel() for name, shape in wanted.items() if name not in tied)


def _tensors(file: Path) -> Iterator[tuple[str, torch.Tensor]]:
    if file.suffix == ".safetensors":
        with safe_open(file, "pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 (it is not a mapping)
                yield name, tensors.get_tensor(name)
    else:
        yield from torch.load(file, map_location="cpu", weights_only=True, mmap=True).items()


def _check_tensor(
    file: Path, name: str, tensor: torch.Tensor, wanted: dict[str, tuple[int, ...]]
) -> None:
    if name not in wanted:
        return  # told, or refused, once all are known
    if tuple(tensor.shape) != wanted[name]:
        raise BadInput(
            f"{file}: {name} is {list(tensor.shape)}, and config.json wants {list(wanted[name])}: "
            "weights and configuration are of models of different sizes"
        )
    if not tensor.isfinite().all():
        raise BadInput(
            f"{file} has weights that are not finite, first in {name}: training diverged or the "
            "file is damaged; use an earlier checkpoint"
        )
    if tensor.ndim > 1 and not tensor.any():
        raise BadInput(
            f"{file} has weights that are all zero, first {name}: the file was not written to its "
            "end; copy it again"
        )


def _shapes_of_config(folder: Path) -> tuple[dict[str, tuple[int, ...]], set[str]]:
    """Name and shape of every weight that config.json asks for, and which of them are others' twins
    and may be missing."""
    config: Any = load_part(AutoConfig, folder)
    try:
        with torch.device("meta"):
            model: Any = AutoModelForCausalLM.from_config(config)
    except (OSError, ValueError, KeyError) as error:
        raise BadInput(
            f"{folder}/config.json is of no language model: {reason_of(error)}"
        ) from error
    every = cast("dict[str, torch.Tensor]", dict(model.named_parameters(remove_duplicate=False)))
    once = dict(model.named_parameters())
    shapes = {name: tuple(parameter.shape) for name, parameter in every.items()}
    return shapes, every.keys() - once.keys()
