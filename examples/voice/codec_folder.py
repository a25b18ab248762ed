"""A codec as the folder that ttsrl loads."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from examples.voice.stage import DEVICE
from ttsrl.codecs.mel_codec import STEP, widened
from ttsrl.codecs.mel_network import MelCodecConfig, MelCodecModel

LEAST_WEIGHTS = 4_096
"""Smaller tensors stay in float16 when a codec is rounded to 8 bits."""


def write_codec(model: MelCodecModel, folder: Path, *, bits: int = 32) -> None:
    """Write config.json and model.safetensors; the folder is there whole or not at all.

    `bits` of a weight: 32, 16, or 8, where a matrix has a step per row.
    """
    half = folder.with_name(f".{folder.name}")
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(parents=True)
    (half / "config.json").write_text(model.config.model_dump_json(indent=2) + "\n")
    weights = {name: tensor.cpu().contiguous() for name, tensor in model.state_dict().items()}
    save_file(_narrowed(weights, bits), half / "model.safetensors", metadata={"format": "pt"})
    shutil.rmtree(folder, ignore_errors=True)
    half.rename(folder)


def read_codec(folder: Path) -> MelCodecModel:
    """The network of a folder, to be trained further."""
    config = MelCodecConfig.model_validate(json.loads((folder / "config.json").read_text()))
    model = MelCodecModel(config)
    model.load_state_dict(widened(load_file(folder / "model.safetensors")))
    return model.to(DEVICE)


def _narrowed(weights: dict[str, Tensor], bits: int) -> dict[str, Tensor]:
    narrow: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        if not tensor.is_floating_point() or bits == 32:
            narrow[name] = tensor
        elif bits == 16 or tensor.dim() < 2 or tensor.numel() < LEAST_WEIGHTS:
            narrow[name] = tensor.half()
        else:
            rows = tensor.flatten(1)
            step = rows.abs().amax(1).clamp_min(1e-8) / 127
            narrow[name] = (rows / step[:, None]).round().to(torch.int8).view(tensor.shape)
            narrow[name + STEP] = step
    return narrow
