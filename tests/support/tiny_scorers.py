"""Models of scorers in their real formats, all tiny: CLAP, SenseVoice, Parakeet and Moonshine with
made-up weights, and the tiny stack's Whisper for Mandarin."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import (
    ClapConfig,
    ClapFeatureExtractor,
    ClapModel,
    MoonshineConfig,
    MoonshineForConditionalGeneration,
    ParakeetCTCConfig,
    ParakeetFeatureExtractor,
    ParakeetForCTC,
    ParakeetForTDT,
    ParakeetTDTConfig,
    ParakeetTokenizer,
    PreTrainedTokenizerFast,
    Wav2Vec2FeatureExtractor,
)

WORDS = [
    *("<s>", "<pad>", "</s>", "<unk>", "a", "man", "whispering"),
    *("person", "speaking", "sadly", "happily"),
]
SENSEVOICE = [
    *("<unk>", "<s>", "</s>", "<|zh|>", "<|NEUTRAL|>", "<|Speech|>", "<|woitn|>"),
    *("你", "好"),
]
LETTERS = ["<pad>", "<unk>", "▁", "a", "b", "c", "d", "e", "f", "g", "h", "<blank>"]


def save_tiny_clap(folder: Path, *, fused: bool = False) -> Path:
    audio = dict(patch_embeds_hidden_size=8, depths=[1] * 4, num_attention_heads=[1] * 4)
    audio |= dict(hidden_size=64, projection_dim=16, enable_fusion=fused)
    text = dict(vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2)
    text |= dict(intermediate_size=32, projection_dim=16, max_position_embeddings=80)
    return save_clap(
        folder, ClapConfig(text_config=text, audio_config=audio, projection_dim=16), 0.3
    )


def save_clap(folder: Path, config: ClapConfig, spread: float) -> Path:
    """With a tokenizer that knows a few words; `spread` is the weights' standard deviation."""
    torch.manual_seed(0)
    model = ClapModel(config)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.normal_(std=spread)
    model.save_pretrained(folder)
    ClapFeatureExtractor().save_pretrained(folder)
    core = Tokenizer(models.WordLevel({w: n for n, w in enumerate(WORDS)}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    core.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    )
    tokenizer.save_pretrained(folder)
    return folder


def save_tiny_sensevoice(folder: Path) -> Path:
    """SenseVoice's inputs, outputs and metadata; it says 你 where it is loud and 好 elsewhere."""
    size, features = len(SENSEVOICE), 560
    weight = np.zeros((features, size), np.float32)
    weight[:, 7], weight[:, 8] = 1 / features, -1 / features
    prompt = np.zeros((1, 4, size), np.float32)
    prompt[0, range(4), range(3, 7)] = 1.0
    nodes = [
        helper.make_node("MatMul", ["x", "weight"], ["frames"]),
        helper.make_node("Gather", ["shape", "zero"], ["batch"], axis=0),
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Concat", ["batch", "rest"], ["prompt_shape"], axis=0),
        helper.make_node("Expand", ["prompt", "prompt_shape"], ["prompts"]),
        helper.make_node("Concat", ["prompts", "frames"], ["logits"], axis=1),
    ]
    nodes[1], nodes[2] = nodes[2], nodes[1]
    # sherpa-onnx hands over language and text_norm; they must be inputs, and may be unused.
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", "T", features])]
    inputs += [
        helper.make_tensor_value_info(name, TensorProto.INT32, ["N"])
        for name in ("x_length", "language", "text_norm")
    ]
    output = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", "T_out", size])
    constants = {
        "weight": weight,
        "prompt": prompt,
        "zero": np.array([0], np.int64),
        "rest": np.array([4, size], np.int64),
    }
    graph = helper.make_graph(
        nodes,
        "sensevoice",
        inputs,
        [output],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    numbers = dict(vocab_size=size, lfr_window_size=7, lfr_window_shift=6, normalize_samples=0)
    numbers |= dict(with_itn=14, without_itn=15, lang_auto=0, lang_zh=3, lang_en=4, lang_yue=7)
    numbers |= dict(lang_ja=11, lang_ko=12)
    metadata = {name: str(value) for name, value in numbers.items()}
    metadata |= {"neg_mean": ",".join(["-12"] * features), "inv_stddev": ",".join(["1"] * features)}
    helper.set_model_props(model, metadata)
    onnx.save(model, folder / "model.onnx")
    lines = [f"{token} {n}" for n, token in enumerate(SENSEVOICE)]
    (folder / "tokens.txt").write_text("\n".join(lines) + "\n")
    return folder


def save_tiny_parakeet(folder: Path, kind: str) -> Path:
    encoder = dict(hidden_size=32, num_hidden_layers=1, num_attention_heads=2)
    encoder |= dict(intermediate_size=64, subsampling_conv_channels=8, num_mel_bins=80)
    if kind == "ctc":
        config = ParakeetCTCConfig(vocab_size=len(LETTERS), encoder_config=encoder, pad_token_id=0)
        return save_parakeet(folder, config, 0.25)
    config = ParakeetTDTConfig(
        vocab_size=len(LETTERS),
        encoder_config=encoder,
        pad_token_id=0,
        blank_token_id=len(LETTERS) - 1,
        decoder_start_token_id=len(LETTERS) - 1,  # pyright: ignore[reportCallIssue]
        bos_token_id=len(LETTERS) - 1,  # pyright: ignore[reportCallIssue]
        decoder_hidden_size=32,
        num_decoder_layers=1,
    )
    return save_parakeet(folder, config, 0.25)


def save_parakeet(
    folder: Path, config: ParakeetCTCConfig | ParakeetTDTConfig, spread: float
) -> Path:
    """With a tokenizer of a few letters; `spread` is the weights' standard deviation."""
    torch.manual_seed(0)
    is_ctc = isinstance(config, ParakeetCTCConfig)
    model = ParakeetForCTC(config) if is_ctc else ParakeetForTDT(config)
    with torch.no_grad():
        for _, weight in sorted(model.named_parameters()):
            if weight.dim() > 1:
                weight.normal_(std=spread)
    model.save_pretrained(folder)
    ParakeetFeatureExtractor(feature_size=80).save_pretrained(folder)
    core = Tokenizer(models.BPE({t: n for n, t in enumerate(LETTERS)}, [], unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    ParakeetTokenizer(
        tokenizer_object=core, pad_token="<pad>", unk_token="<unk>", additional_special_tokens=[]
    ).save_pretrained(folder)
    return folder


def save_tiny_moonshine(folder: Path) -> Path:
    """Moonshine's classes and files; it writes anything."""
    words = ["<unk>", "<s>", "</s>", *(f"▁{letter}" for letter in "abcdefghijklmnop"), *"qrstuv"]
    config = MoonshineConfig(
        vocab_size=len(words),
        hidden_size=32,
        intermediate_size=64,
        encoder_num_hidden_layers=1,
        decoder_num_hidden_layers=1,
        encoder_num_attention_heads=2,
        decoder_num_attention_heads=2,
        encoder_num_key_value_heads=2,
        decoder_num_key_value_heads=2,
        pad_token_id=2,
    )
    torch.manual_seed(0)
    model = MoonshineForConditionalGeneration(config)
    with torch.no_grad():
        for name, weight in sorted(model.named_parameters()):
            if weight.dim() > 1:
                weight.normal_(std=0.6 if "embed" in name else 0.25)
    model.save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=False, return_attention_mask=True).save_pretrained(folder)
    core = Tokenizer(models.WordLevel({word: n for n, word in enumerate(words)}, "<unk>"))
    core.decoder = decoders.Metaspace()
    PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder)
    return folder
