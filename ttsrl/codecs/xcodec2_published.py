"""XCodec2 as its authors published it (HKUSTAudio/xcodec2), in the form of transformers' class.

Names of the weights: modeling_xcodec2.py of that repository and of the PyPI package xcodec2. Sizes
are read off the weights. Of the semantic model, facebook/w2v-bert-2.0, only the layers below the
one that XCodec2 listens to are there. The rotary embedding's order of pairs, which differs, changes
nothing: XCodec2 gives every position of a head the same angle.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

HEARD_LAYER = 16
"""Of w2v-bert-2.0: its hidden state is what XCodec2 hears."""
HEAD_WIDTH, SEMANTIC_HEAD_WIDTH = 64, 64
"""Of the decoder's attention, and of w2v-bert's."""

RENAMED = (
    # weight norm in either of torch's two forms
    (r"\.parametrizations\.weight\.original0$", ".weight_g"),
    (r"\.parametrizations\.weight\.original1$", ".weight_v"),
    (r"^semantic_model\.", "semantic_encoder."),
    (r"^SemanticEncoder_module\.initial_conv\.", "semantic_adapter.conv1."),
    (r"^SemanticEncoder_module\.residual_blocks\.1\.", "semantic_adapter.conv2."),
    (r"^SemanticEncoder_module\.residual_blocks\.3\.", "semantic_adapter.conv3."),
    (r"^SemanticEncoder_module\.final_conv\.", "semantic_adapter.conv4."),
    (r"^CodecEnc\.conv_blocks\.0\.", "acoustic_encoder.conv1."),
    (r"^CodecEnc\.conv_final_block\.0\.", "acoustic_encoder.snake1."),
    (r"^CodecEnc\.conv_final_block\.1\.", "acoustic_encoder.conv2."),
    # a block of the encoder: three residual units, an activation, a convolution
    (r"^(CodecEnc\.conv_blocks\.\d+)\.block\.0\.block\.", r"\1.res_unit1."),
    (r"^(CodecEnc\.conv_blocks\.\d+)\.block\.1\.block\.", r"\1.res_unit2."),
    (r"^(CodecEnc\.conv_blocks\.\d+)\.block\.2\.block\.", r"\1.res_unit3."),
    (r"^(CodecEnc\.conv_blocks\.\d+)\.block\.3\.", r"\1.snake1."),
    (r"^(CodecEnc\.conv_blocks\.\d+)\.block\.4\.", r"\1.conv1."),
    (r"\.(res_unit\d)\.0\.", r".\1.snake1."),
    (r"\.(res_unit\d)\.1\.", r".\1.conv1."),
    (r"\.(res_unit\d)\.2\.", r".\1.snake2."),
    (r"\.(res_unit\d)\.3\.", r".\1.conv2."),
    # transformers once renamed "beta" on loading, and the package follows it
    (r"\.act\.bias$", ".act.beta"),
    (r"^fc_prior\.", "fc_encoder."),
    (r"^fc_post_a\.", "acoustic_decoder.fc."),
    (r"^generator\.quantizer\.", "quantizer."),
    (r"^generator\.head\.out\.", "acoustic_decoder.head.linear."),
    (r"^generator\.backbone\.final_layer_norm\.", "acoustic_decoder.norm."),
    (r"^generator\.backbone\.transformers\.", "acoustic_decoder.layers."),
    (r"^generator\.backbone\.", "acoustic_decoder."),
    (r"\.att_norm\.", ".input_layernorm."),
    (r"\.ffn_norm\.", ".post_attention_layernorm."),
    (r"\.att\.c_attn\.", ".self_attn.qkv."),
    (r"\.att\.c_proj\.", ".self_attn.o_proj."),
)  # fmt: skip
"""The authors' names -> those of transformers, applied in this order."""

COMPUTED = re.compile(
    r"\.(upsample|downsample|lowpass)\.filter$|\.istft\.window$"
    r"|^quantizer\.(layers\.\d+\.(_levels|_basis|implicit_codebook)|scales)$"
)
"""Buffers that follow from the configuration."""


def is_published_form(names: Iterable[str]) -> bool:
    """Whether weights have the authors' names."""
    return any(name.startswith(("generator.", "CodecEnc.")) for name in names)


def converted(published: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights under transformers' names; one that is not known keeps its name."""
    weights: dict[str, Tensor] = {}
    for name, tensor in published.items():
        new = _renamed(name)
        layer = re.match(r"semantic_encoder\.encoder\.layers\.(\d+)\.", new)
        if COMPUTED.search(new) or (layer and int(layer[1]) >= HEARD_LAYER):
            continue
        if ".self_attn.qkv." in new and new.startswith("acoustic_decoder."):
            for part, rows in zip("qkv", tensor.chunk(3), strict=True):
                weights[new.replace(".qkv.", f".{part}_proj.")] = rows.contiguous()
        else:
            weights[new] = tensor
    return _without_weight_norm(weights)


def sizes_of(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """Arguments of transformers' Xcodec2Config for converted weights; what they do not tell has one
    published value, which is its default. Raises KeyError for another model's."""
    hidden = weights["acoustic_decoder.embed.weight"].shape[0]
    heads = hidden // HEAD_WIDTH
    projection = weights["semantic_encoder.feature_projection.projection.weight"]
    semantic = "semantic_encoder.encoder.layers"
    return {
        "hidden_size": hidden,
        "intermediate_size": weights["acoustic_decoder.layers.0.mlp.fc1.weight"].shape[0],
        "num_hidden_layers": _count(weights, "acoustic_decoder.layers"),
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
        "head_dim": HEAD_WIDTH,
        "encoder_hidden_size": weights["acoustic_encoder.conv1.weight"].shape[0],
        "quantization_dim": weights["quantizer.project_in.weight"].shape[1],
        "semantic_model_config": {
            "model_type": "wav2vec2-bert",
            "hidden_size": projection.shape[0],
            "feature_projection_input_dim": projection.shape[1],
            "num_hidden_layers": _count(weights, semantic),
            "num_attention_heads": projection.shape[0] // SEMANTIC_HEAD_WIDTH,
            "intermediate_size": weights[f"{semantic}.0.ffn1.intermediate_dense.weight"].shape[0],
            "output_hidden_size": projection.shape[0],
        },
    }


def _renamed(name: str) -> str:
    for pattern, replacement in RENAMED:
        name = re.sub(pattern, replacement, name)
    # the authors' first block is the first convolution
    block = re.match(r"CodecEnc\.conv_blocks\.(\d+)\.", name)
    return f"acoustic_encoder.block.{int(block[1]) - 1}.{name[block.end() :]}" if block else name


def _without_weight_norm(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Magnitude and direction, of each output channel, as one weight."""
    plain = {n: t for n, t in weights.items() if not n.endswith((".weight_g", ".weight_v"))}
    for name, direction in weights.items():
        stem, _, last = name.rpartition(".")
        magnitude = weights.get(f"{stem}.weight_g")
        if last == "weight_v" and magnitude is not None:
            size = torch.linalg.vector_norm(direction, dim=(1, 2), keepdim=True)
            plain[f"{stem}.weight"] = direction * (magnitude / size)
        elif last == "weight_v" or (last == "weight_g" and f"{stem}.weight_v" not in weights):
            plain[name] = direction
    return plain


def _count(weights: Mapping[str, Tensor], modules: str) -> int:
    depth = modules.count(".") + 1
    return len({name.split(".")[depth] for name in weights if name.startswith(f"{modules}.")})
