"""Files of CosyVoice2-0.5B and Fun-CosyVoice3-0.5B with random weights, in the published formats.

All are tiny.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from s3tokenizer.model_v2 import ModelConfig, S3TokenizerV2
from s3tokenizer.model_v3 import ModelConfigV3, S3TokenizerV3
from transformers import Qwen2Config, Qwen2ForCausalLM

from support.family_tokenizers import qwen2_cosy_tokenizer, write_qwen2_tokenizer
from ttsrl.codecs.cosyvoice2_network import CODEBOOK_SIZE, make_flow, make_hift
from ttsrl.codecs.cosyvoice3_network import DitFlow, make_causal_hift
from ttsrl.families.qwen2_cosy import TURN_END
from ttsrl.models.cosyvoice_editions import (
    APART,
    BIAS,
    COSYVOICE2,
    COSYVOICE3,
    EMBEDDING,
    HEAD,
    Edition,
)

TEXT_ROWS = {COSYVOICE2: 384, COSYVOICE3: 640}
"""Of tiny models: enough for the tokens that each adds to those of texts."""
WIDTH = 64
CONVOLUTIONS = {
    "encoder.conv1.weight": "onnx::Conv_2216",
    "encoder.conv1.bias": "onnx::Conv_2217",
    "encoder.conv2.weight": "onnx::Conv_2218",
    "encoder.conv2.bias": "onnx::Conv_2219",
}
QUANTIZER = {
    "quantizer._codebook.project_down.weight": "onnx::MatMul_2536",
    "quantizer._codebook.project_down.bias": "quantizer.project_in.bias",
}
"""Names that the exporter has given, by which s3tokenizer knows them."""


TINY = {
    "hidden_size": WIDTH, "intermediate_size": 96, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 1024,
    "initializer_range": 0.1,
}  # fmt: skip


def write_llm(
    folder: Path,
    *,
    bias: float = 0.0,
    common: float = 1.0,
    ending: float = 0.0,
    shape: Mapping[str, Any] = TINY,
    edition: Edition = COSYVOICE2,
) -> Path:
    """llm.pt and CosyVoice-BlankEN/; returns `folder`. `shape` is of a Qwen2Config.

    `bias` is the size of the head's, `common` that of a part which all embeddings share, as those
    of trained models do. `ending` is added to the bias of the first end token: with random weights
    speech does not end before its limit, with 10 most of it does within 20 tokens.
    """
    torch.manual_seed(0)
    blank_en = folder / "CosyVoice-BlankEN"
    write_qwen2_tokenizer(blank_en)
    shape = {"vocab_size": TEXT_ROWS[edition], **shape}
    config = Qwen2Config(tie_word_embeddings=True, bos_token_id=256, eos_token_id=258, **shape)
    config.save_pretrained(blank_en)
    qwen = Qwen2ForCausalLM(config)
    width = config.hidden_size
    shared = common * torch.randn(width)
    head = torch.nn.Linear(width, edition.rows)
    with torch.no_grad():
        qwen.model.embed_tokens.weight.add_(shared)
        for layer in qwen.model.layers:  # initialised to 0, which would hide a forgotten bias
            torch.nn.init.normal_(layer.get_parameter("self_attn.q_proj.bias"))
        head.weight.normal_(0, 0.3 * (WIDTH / width) ** 0.5)
        head.bias.normal_(0, 1).mul_(bias)
        head.bias[CODEBOOK_SIZE] += ending
    tensors = {f"llm.model.{name}": t.clone() for name, t in qwen.state_dict().items()} | {
        EMBEDDING: torch.randn(edition.rows, width) * 0.1 + shared,
        HEAD: head.weight.detach(),
    }
    if edition.apart:
        tensors[APART] = torch.randn(len(edition.apart), width) * 0.1 + shared
    if edition.biased:
        tensors[BIAS] = head.bias.detach()
    torch.save(tensors, folder / "llm.pt")
    return folder


def write_qwen2_cosy(folder: Path, *, ending: float = 1.0) -> Path:
    """A Qwen2 that speaks CosyVoice2's tokens, as a Hugging Face folder; returns it.

    `ending` multiplies the end token's row of the head: with 1 speech does not end before its
    limit, with 6 most of it does within 10 tokens.
    """
    tokenizer = qwen2_cosy_tokenizer(folder)
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=48, num_hidden_layers=1,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256,
        initializer_range=0.2,
    )  # fmt: skip
    model = Qwen2ForCausalLM(config)
    with torch.no_grad():
        model.lm_head.weight[tokenizer.convert_tokens_to_ids(TURN_END)] *= ending
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_codec(folder: Path, pitch_hz: float = 150.0, *, third: bool = False) -> Path:
    """flow.pt and hift.pt, as small as their format allows; the voice is of about `pitch_hz`."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(1)
    if third:
        (folder / "cosyvoice3.yaml").touch()
        flow, hift = DitFlow(128, 2, 2, 32), make_causal_hift(32, 32)
    else:
        flow, hift = make_flow(1, 1, 1), make_hift(32, 32)
    with torch.no_grad():
        hift.f0_predictor.classifier.bias.fill_(pitch_hz)
    torch.save(flow.state_dict(), folder / "flow.pt")
    # as upstream saves the generator of the pair that it trains
    torch.save({f"generator.{k}": t for k, t in hift.state_dict().items()}, folder / "hift.pt")
    return folder


def write_voice_models(folder: Path) -> Path:
    """speech_tokenizer_v2.onnx and campplus.onnx, tiny, with the published names of their parts."""
    torch.manual_seed(2)
    config = ModelConfig(n_audio_state=64, n_audio_head=1, n_audio_layer=2)
    nodes: list[onnx.NodeProto] = []
    weights: list[onnx.TensorProto] = []
    network = S3TokenizerV2("speech_tokenizer_v2_25hz", config)
    norms: dict[str, list[str]] = {}
    for key, tensor in network.state_dict().items():
        value = tensor.numpy().T if tensor.ndim == 2 else tensor.numpy()
        name, op, node = key, "Identity", key
        if key in CONVOLUTIONS:
            name, op = CONVOLUTIONS[key], "Conv"
        elif key in QUANTIZER:
            name, op = QUANTIZER[key], "MatMul"
        else:
            module, kind = key.removeprefix("encoder.").rsplit(".", 1)
            path = "/" + module.replace(".attn", "/attn", 1).replace(".mlp", "/mlp", 1)
            if "attn_ln" in key or "mlp_ln" in key:
                norms.setdefault(path, []).append(name)
                weights.append(onnx.numpy_helper.from_array(value, name))
                continue
            path = path.replace("/attn.", "/attn/").replace("/mlp.", "/mlp/mlp.")
            op = "Conv" if "fsmn" in key else "MatMul" if kind == "weight" else "Add"
            node = f"{path}/{op}"
        weights.append(onnx.numpy_helper.from_array(np.ascontiguousarray(value), name))
        nodes.append(onnx.helper.make_node(op, ["x", name], ["x"], name=node))
    for path, names in norms.items():
        node = f"{path}/LayerNormalization"
        nodes.append(onnx.helper.make_node("LayerNormalization", ["x", *names], ["x"], name=node))
    graph = onnx.helper.make_graph(nodes, "speech_tokenizer_v2", [], [], weights)
    onnx.save(onnx.helper.make_model(graph), folder / "speech_tokenizer_v2.onnx")
    return write_campplus(folder)


def write_third_tokenizer(folder: Path) -> Path:
    """speech_tokenizer_v3.onnx, tiny: nodes are named by the place of their weights in it."""
    torch.manual_seed(2)
    config = ModelConfigV3(n_audio_state=64, n_audio_head=1, n_audio_layer=2)
    nodes: list[onnx.NodeProto] = []
    weights: list[onnx.TensorProto] = []
    for key, tensor in S3TokenizerV3("speech_tokenizer_v3_25hz", config).state_dict().items():
        matrix = tensor.ndim == 2
        value = np.ascontiguousarray(tensor.numpy().T if matrix else tensor.numpy())
        module, kind = key.removeprefix("encoder.").rsplit(".", 1)
        name = key.removeprefix("encoder.")
        if key.startswith("quantizer"):
            name = "quantizer.project_in.bias" if kind == "bias" else "quantizer.project_in.weight"
        op = "MatMul" if matrix else "Mul" if kind == "weight" else "Add"
        path = "/" + module.replace(".attn", "/attn", 1).replace(".mlp", "/mlp", 1)
        path = path.replace("/attn.", "/attn/").replace("/mlp.", "/mlp/mlp.")
        inputs = ["x", name]
        if module in ("conv1", "conv2"):
            if kind == "bias":  # of the node that its weight has
                weights.append(onnx.numpy_helper.from_array(value, name))
                continue
            op, inputs = "Conv", ["x", name, f"{module}.bias"]
        weights.append(onnx.numpy_helper.from_array(value, name))
        nodes.append(onnx.helper.make_node(op, inputs, ["x"], name=f"{path}/{op}"))
    graph = onnx.helper.make_graph(nodes, "speech_tokenizer_v3", [], [], weights)
    onnx.save(onnx.helper.make_model(graph), folder / "speech_tokenizer_v3.onnx")
    return folder


def write_campplus(folder: Path) -> Path:
    """campplus.onnx: what it makes of a recording is a projection of its mean."""
    f32 = onnx.TensorProto.FLOAT
    projection = onnx.numpy_helper.from_array(torch.randn(80, 192).numpy(), "projection")
    axes = onnx.numpy_helper.from_array(np.array([1]), "axes")
    graph = onnx.helper.make_graph(
        [
            onnx.helper.make_node("Abs", ["input"], ["loud"]),
            onnx.helper.make_node("ReduceMean", ["loud", "axes"], ["mean"], keepdims=0),
            onnx.helper.make_node("MatMul", ["mean", "projection"], ["output"]),
        ],
        "campplus",
        [onnx.helper.make_tensor_value_info("input", f32, ["B", "T", 80])],
        [onnx.helper.make_tensor_value_info("output", f32, ["B", 192])],
        [projection, axes],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)])
    model.ir_version = 10
    onnx.save(model, folder / "campplus.onnx")
    return folder
