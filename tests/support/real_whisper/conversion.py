"""A Whisper of CTranslate2 becomes a Hugging Face folder again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tokenizers import Tokenizer
from transformers import GenerationConfig, WhisperConfig, WhisperFeatureExtractor

from support.real_whisper.ctranslate2_file import read_variables

Variables = dict[str, NDArray[np.generic]]

MULTILINGUAL = 51_865
"""Tokens of a multilingual vocabulary; the English one has 51 864."""

LAYER_NORMS = {
    "encoder": {
        "self_attention/layer_norm": "self_attn_layer_norm",
        "ffn/layer_norm": "final_layer_norm",
    },
    "decoder": {
        "self_attention/layer_norm": "self_attn_layer_norm",
        "attention/layer_norm": "encoder_attn_layer_norm",
        "ffn/layer_norm": "final_layer_norm",
    },
}
LINEARS = {
    "encoder": {
        "self_attention/linear_0": "self_attn.q_proj self_attn.k_proj self_attn.v_proj",
        "self_attention/linear_1": "self_attn.out_proj",
        "ffn/linear_0": "fc1",
        "ffn/linear_1": "fc2",
    },
    "decoder": {
        "self_attention/linear_0": "self_attn.q_proj self_attn.k_proj self_attn.v_proj",
        "self_attention/linear_1": "self_attn.out_proj",
        "attention/linear_0": "encoder_attn.q_proj",
        "attention/linear_1": "encoder_attn.k_proj encoder_attn.v_proj",
        "attention/linear_2": "encoder_attn.out_proj",
        "ffn/linear_0": "fc1",
        "ffn/linear_1": "fc2",
    },
}
"""CTranslate2 joins the projections of one input into one matrix."""


def convert(source: Path, tokenizer_json: Path, target: Path) -> None:
    """Fill the folder `target` with what openai/whisper-* has on the Hub, in float32."""
    variables = read_variables(source / "model.bin")
    config = _config(variables)
    weights = {f"model.{name}": np.ascontiguousarray(w) for name, w in _weights(variables, config)}
    save_file(weights, target / "model.safetensors", {"format": "pt"})
    config.save_pretrained(target)
    settings = json.loads((source / "config.json").read_text())
    tokenizer = Tokenizer.from_file(str(tokenizer_json))
    multilingual = config.vocab_size == MULTILINGUAL
    _generation(settings, tokenizer, multilingual).save_pretrained(target)
    WhisperFeatureExtractor(feature_size=config.num_mel_bins).save_pretrained(target)
    shutil.copy(tokenizer_json, target / "tokenizer.json")
    end = "<|endoftext|>"
    tokens = {f"{name}_token": end for name in ("bos", "eos", "pad", "unk")}
    kind = {"tokenizer_class": "WhisperTokenizer", "errors": "replace", "model_max_length": 1024}
    (target / "tokenizer_config.json").write_text(json.dumps({**kind, **tokens}))


def _config(variables: Variables) -> WhisperConfig:
    vocab_size, d_model = variables["decoder/embeddings/weight"].shape
    layers = {
        side: len({name.split("/")[1] for name in variables if name.startswith(f"{side}/layer_")})
        - 1  # layer_norm
        for side in ("encoder", "decoder")
    }
    heads = int(variables["encoder/num_heads"])
    width = len(variables["encoder/layer_0/ffn/linear_0/bias"])
    end = 50_257 if vocab_size == MULTILINGUAL else 50_256
    return WhisperConfig(
        architectures=["WhisperForConditionalGeneration"],
        dtype="float32",
        vocab_size=vocab_size,
        num_mel_bins=variables["encoder/conv1/weight"].shape[1],
        d_model=d_model,
        encoder_layers=layers["encoder"],
        decoder_layers=layers["decoder"],
        encoder_attention_heads=heads,
        decoder_attention_heads=heads,
        encoder_ffn_dim=width,
        decoder_ffn_dim=width,
        pad_token_id=end,
        bos_token_id=end,
        eos_token_id=end,
        decoder_start_token_id=end + 1,
    )


def _weights(
    variables: Variables, config: WhisperConfig
) -> Iterator[tuple[str, NDArray[np.generic]]]:
    yield "decoder.embed_tokens.weight", variables["decoder/embeddings/weight"]
    for convolution in ("conv1", "conv2"):
        for kind in ("weight", "bias"):
            yield f"encoder.{convolution}.{kind}", variables[f"encoder/{convolution}/{kind}"]
    layers = {"encoder": config.encoder_layers, "decoder": config.decoder_layers}
    for side, count in layers.items():
        positions = variables[f"{side}/position_encodings/encodings"]
        yield f"{side}.embed_positions.weight", positions
        yield from _norm(variables, f"{side}/layer_norm", f"{side}.layer_norm")
        for n in range(count):
            theirs, ours = f"{side}/layer_{n}", f"{side}.layers.{n}"
            for source, target in LAYER_NORMS[side].items():
                yield from _norm(variables, f"{theirs}/{source}", f"{ours}.{target}")
            for source, targets in LINEARS[side].items():
                names = [f"{ours}.{target}" for target in targets.split()]
                yield from _linear(variables, f"{theirs}/{source}", names)


def _norm(variables: Variables, source: str, target: str) -> Iterator[tuple[str, Any]]:
    yield f"{target}.weight", variables[f"{source}/gamma"]
    yield f"{target}.bias", variables[f"{source}/beta"]


def _linear(variables: Variables, source: str, targets: list[str]) -> Iterator[tuple[str, Any]]:
    weights = np.split(variables[f"{source}/weight"], len(targets))
    biases = np.split(variables[f"{source}/bias"], len(targets))
    for target, weight, bias in zip(targets, weights, biases, strict=True):
        yield f"{target}.weight", weight
        if not target.endswith("k_proj"):
            yield f"{target}.bias", bias
        elif bias.any():
            raise ValueError(f"{source}: Whisper's keys have no bias")


def _generation(
    settings: dict[str, Any], tokenizer: Tokenizer, multilingual: bool
) -> GenerationConfig:
    languages = {tokenizer.id_to_token(i): i for i in settings["lang_ids"]}
    tasks = {task: tokenizer.token_to_id(f"<|{task}|>") for task in ("transcribe", "translate")}
    end = tokenizer.token_to_id("<|endoftext|>")
    return GenerationConfig(
        is_multilingual=multilingual,
        suppress_tokens=settings["suppress_ids"],
        begin_suppress_tokens=settings["suppress_ids_begin"],
        alignment_heads=settings["alignment_heads"],
        no_timestamps_token_id=tokenizer.token_to_id("<|notimestamps|>"),
        prev_sot_token_id=tokenizer.token_to_id("<|startofprev|>"),
        decoder_start_token_id=tokenizer.token_to_id("<|startoftranscript|>"),
        eos_token_id=end,
        pad_token_id=end,
        bos_token_id=end,
        max_length=448,
        return_timestamps=False,
        max_initial_timestamp_index=50,
        **({"lang_to_id": languages, "task_to_id": tasks} if multilingual else {}),
    )
