"""Seed-TTS-eval's speaker model: its file, tiny, gives what its own classes give."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from ttsrl.errors import BadInput
from ttsrl.scorers.speaker_models import SeedTtsEval, load_speaker_model
from ttsrl.scorers.wavlm_ecapa import WAVLM, WavLmEcapa

LAYERS, WIDTH, INNER, HEADS, CONVOLUTION = 2, 32, 48, 4, 16
KERNELS = (10, 3, 3, 3, 3, 2, 2)
T = np.arange(16_000) / 16_000
GLIDE = (0.2 * np.sin(2 * np.pi * 140 * T) + 0.05 * np.sin(2 * np.pi * 900 * T * T)).astype("f")
BEATS = (0.2 * np.sin(2 * np.pi * 230 * T) * np.sin(2 * np.pi * 3 * T)).astype("f")
# microsoft/UniSpeech's ECAPA_TDNN_SMALL over its WavLM, with the weights of `tensor`: the first
# five numbers of both embeddings brought to length 1, and their cosine.
EXPECTED = [
    [0.03784, -0.05782, 0.04944, -0.05254, 0.00029],
    [0.02639, -0.07992, 0.04668, -0.0569, -0.01451],
]
COSINE = 0.99315035


def tensor(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    """A weight that depends on its published name alone."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    values = np.random.default_rng(seed).standard_normal(shape).astype("f")
    if name.endswith(("running_var", "weight_g")):
        values = np.abs(values) + 0.5
    elif len(shape) > 1:
        values = values / np.sqrt(np.prod(shape[1:]))
    else:
        values = 0.3 * values + (1.0 if name.endswith("weight") else 0.0)
    return torch.from_numpy(np.asarray(values, "f"))


def wavlm_shapes() -> dict[str, tuple[int, ...]]:
    """WavLM's own names."""
    shapes: dict[str, tuple[int, ...]] = {"mask_emb": (WIDTH,)}
    for n, kernel in enumerate(KERNELS):
        name = f"feature_extractor.conv_layers.{n}"
        shapes[f"{name}.0.weight"] = (CONVOLUTION, CONVOLUTION if n else 1, kernel)
        shapes |= {f"{name}.2.1.{part}": (CONVOLUTION,) for part in ("weight", "bias")}
    shapes |= {"post_extract_proj.weight": (WIDTH, CONVOLUTION), "post_extract_proj.bias": (WIDTH,)}
    shapes |= {f"layer_norm.{part}": (CONVOLUTION,) for part in ("weight", "bias")}
    shapes["encoder.pos_conv.0.weight_g"] = (1, 1, 16)
    shapes["encoder.pos_conv.0.weight_v"] = (WIDTH, WIDTH // 4, 16)
    shapes["encoder.pos_conv.0.bias"] = (WIDTH,)
    shapes |= {f"encoder.layer_norm.{part}": (WIDTH,) for part in ("weight", "bias")}
    for n in range(LAYERS):
        layer: dict[str, tuple[int, ...]] = {"self_attn.grep_a": (1, HEADS, 1, 1)}
        layer |= {"self_attn.grep_linear.weight": (8, WIDTH // HEADS)}
        layer |= {"self_attn.grep_linear.bias": (8,)}
        for part in ("k_proj", "v_proj", "q_proj", "out_proj"):
            layer |= {f"self_attn.{part}.weight": (WIDTH, WIDTH)}
            layer |= {f"self_attn.{part}.bias": (WIDTH,)}
        for norm in ("self_attn_layer_norm", "final_layer_norm"):
            layer |= {f"{norm}.{part}": (WIDTH,) for part in ("weight", "bias")}
        layer |= {"fc1.weight": (INNER, WIDTH), "fc1.bias": (INNER,)}
        layer |= {"fc2.weight": (WIDTH, INNER), "fc2.bias": (WIDTH,)}
        if n == 0:
            layer |= {"self_attn.relative_attention_bias.weight": (320, HEADS)}
        shapes |= {f"encoder.layers.{n}.{name}": shape for name, shape in layer.items()}
    return shapes


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    named = {f"{WAVLM}{name}": shape for name, shape in wavlm_shapes().items()}
    head = WavLmEcapa(nn.Identity(), LAYERS + 1, WIDTH).state_dict()
    named |= {n: tuple(w.shape) for n, w in head.items() if not n.endswith("num_batches_tracked")}
    return {name: tensor(name, shape) for name, shape in named.items()}


def save(folder: Path, weights: dict[str, torch.Tensor]) -> Path:
    torch.save({"model": weights}, folder / "wavlm_large_finetune.pth")
    return folder / "wavlm_large_finetune.pth"


def test_embeddings_are_those_of_the_original_classes(
    weights: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    model = load_speaker_model(str(save(tmp_path, weights)), "cpu", 4)
    assert isinstance(model, SeedTtsEval)
    found = model.embed([GLIDE, BEATS], [16_000, 16_000])
    np.testing.assert_allclose(found[:, :5].numpy(), EXPECTED, atol=2e-5)
    assert float(found[0] @ found[1]) == pytest.approx(COSINE, abs=1e-5)
    longer = np.concatenate([BEATS, GLIDE])
    together = model.embed([GLIDE, longer], [16_000, 16_000])
    np.testing.assert_allclose(together[0].numpy(), found[0].numpy(), atol=1e-5)


def test_a_file_of_another_kind_is_refused(
    weights: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    file = tmp_path / "x.pth"
    file.write_bytes(b"no checkpoint")
    with pytest.raises(BadInput, match="is not a speaker model of Seed-TTS-eval"):
        load_speaker_model(str(file), "cpu", 1)
    torch.save({"model": {"linear.weight": torch.zeros(2)}}, file)
    with pytest.raises(BadInput, match="it is no WavLM"):
        load_speaker_model(str(file), "cpu", 1)
    less = {name: w for name, w in weights.items() if name != "pooling.linear2.bias"}
    with pytest.raises(
        BadInput, match=r"lacks 1 weights of a WavLmEcapa, first pooling.linear2.bias"
    ):
        load_speaker_model(str(save(tmp_path, less)), "cpu", 1)
    other = weights | {"linear.bias": torch.zeros(3)}
    with pytest.raises(BadInput, match=r"linear.bias is \[3\].*wants \[256\]"):
        load_speaker_model(str(save(tmp_path, other)), "cpu", 1)
