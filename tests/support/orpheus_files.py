"""Orpheus and SNAC with random weights, in the files that are published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from support.family_tokenizers import llama_3_tokenizer

CODES = 7 * 4096
SNAC_CONFIG: dict[str, Any] = {
    "sampling_rate": 24_000, "encoder_dim": 8, "encoder_rates": [2, 4, 8, 8], "decoder_dim": 64,
    "decoder_rates": [8, 8, 4, 2], "attn_window_size": None, "codebook_size": 4096,
    "codebook_dim": 8, "vq_strides": [4, 2, 1], "noise": True, "depthwise": True,
}  # fmt: skip
"""config.json of hubertsiuzdak/snac_24khz, narrower: 48 and 1024 there."""


def write_snac(folder: Path) -> Path:
    """config.json and pytorch_model.bin, loud enough to be compared."""
    from snac import SNAC

    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    network = SNAC(**SNAC_CONFIG)
    with torch.no_grad():
        for name, weight in sorted(network.named_parameters()):
            if name.endswith("alpha"):
                weight.uniform_(0.5, 1.5)
            elif name.endswith("bias"):
                weight.normal_(0.0, 0.05)
    (folder / "config.json").write_text(json.dumps(SNAC_CONFIG))
    torch.save(network.state_dict(), folder / "pytorch_model.bin")
    return folder


def orpheus_tokenizer(tokens: int = 28_683) -> PreTrainedTokenizerFast:
    """Llama-3's ids, then <custom_token_0> at 128256 and so on, as canopylabs adds them."""
    tokenizer = llama_3_tokenizer()
    tokenizer.add_tokens([f"<custom_token_{n}>" for n in range(tokens)])
    return tokenizer


def write_orpheus(folder: Path) -> Path:
    """A Llama with Orpheus' vocabulary."""
    orpheus_tokenizer().save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=156_940, hidden_size=16, intermediate_size=16, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=512,
        tie_word_embeddings=True, bos_token_id=128_000, eos_token_id=128_009, pad_token_id=128_263,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder
