"""Whether a folder holds a whole policy: found out by its files, before any GPU is spent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from transformers import AutoConfig, AutoModelForCausalLM

from ttsrl.errors import BadInput, reason_of

LOST_BIAS = (
    "{}: its lm_head.bias is left out by transformers, vLLM and verl alike. CosyVoice's own script "
    "has written it; `ttsrl convert` folds the official checkpoint's bias into the weights"
)
INDEX = "model.safetensors.index.json"


def check_policy_weights(folder: Path) -> list[str]:
    """Raise BadInput unless the weights are all there, finite, and of the size of config.json.

    Returns what is to be known of the others. Every tensor is read once, one at a time; no model is
    built.
    """
    wanted = _shapes_of_config(folder)
    found: set[str] = set()
    for file in _weight_files(folder):
        try:
            with safe_open(file, "pt") as tensors:
                for name in tensors.keys():  # noqa: SIM118 (it is not a mapping)
                    found.add(name)
                    _check_tensor(file, name, tensors.get_tensor(name), wanted)
        except (SafetensorError, OSError) as error:
            raise BadInput(
                f"{file} cannot be read: {error}; copy it again, it may have been cut short"
            ) from error
    if missing := sorted(wanted.keys() - found):
        raise BadInput(
            f"the model at {folder} lacks {len(missing)} weights, first {missing[0]}; use a whole "
            "model of that kind, or copy it again"
        )
    unexpected = sorted(found - wanted.keys())
    return [LOST_BIAS.format(folder)] if "lm_head.bias" in unexpected else []


def _check_tensor(
    file: Path, name: str, tensor: torch.Tensor, wanted: dict[str, tuple[int, ...]]
) -> None:
    if name not in wanted:
        return  # a tied weight's other name, or one that no class of transformers has
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


def _shapes_of_config(folder: Path) -> dict[str, tuple[int, ...]]:
    """Name and shape of every weight that config.json asks for, but those that are tied."""
    try:
        config: Any = AutoConfig.from_pretrained(folder)
        with torch.device("meta"):
            model: Any = AutoModelForCausalLM.from_config(config)
    except (OSError, ValueError, KeyError) as error:
        raise BadInput(
            f"{folder}/config.json is of no language model: {reason_of(error)}"
        ) from error
    named = cast("dict[str, torch.Tensor]", dict(model.named_parameters()))
    return {name: tuple(parameter.shape) for name, parameter in named.items()}


def _weight_files(folder: Path) -> Iterator[Path]:
    """The safetensors files, all that the index names. Raises BadInput."""
    index = folder / INDEX
    if index.is_file():
        names = sorted(set(json.loads(index.read_text())["weight_map"].values()))
    else:
        names = sorted(file.name for file in folder.glob("*.safetensors"))
    if not names:
        raise BadInput(f"no weights in {folder}; give a folder with *.safetensors files")
    for name in names:
        if not (folder / name).is_file():
            raise BadInput(f"{folder} lacks {name}, which its index names; copy the model again")
        yield folder / name
