"""Tokenizers in the real formats of the families: the same markers at the same ids.

The words of the real ones cannot be had here: a vocabulary of bytes stands for them, filled up with
tokens that no text contains.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import bytes_to_unicode

LLAMA_3_SPECIAL = {
    128_000: "<|begin_of_text|>",
    128_001: "<|end_of_text|>",
    128_004: "<|finetune_right_pad_id|>",
    128_006: "<|start_header_id|>",
    128_007: "<|end_header_id|>",
    128_008: "<|eom_id|>",
    128_009: "<|eot_id|>",
    128_010: "<|python_tag|>",
}
LLASA_MARKERS = [
    f"<|{name}_{side}|>"
    for name in (
        "TEXT_GENERATION",
        "TEXT_UNDERSTANDING",
        "SPEECH_GENERATION",
        "SPEECH_UNDERSTANDING",
    )
    for side in ("START", "END")
]
QWEN2_SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def llama_3_tokenizer() -> PreTrainedTokenizerFast:
    """Llama-3.2's ids 0 to 128255; it begins a text with <|begin_of_text|>."""
    vocabulary = _bytes() | {f"unused{n}": n for n in range(256, 128_000)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    names = iter(range(1_000))
    special = [
        LLAMA_3_SPECIAL.get(n) or f"<|reserved_special_token_{next(names)}|>"
        for n in range(128_000, 128_256)
    ]
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in special])
    begin = "<|begin_of_text|>"
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{begin} $A", special_tokens=[(begin, 128_000)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=begin, eos_token="<|eot_id|>"
    )


def llasa_tokenizer(codebook_size: int = 65_536) -> PreTrainedTokenizerFast:
    """Llama-3.2's, then Llasa's: markers from 128256, <|s_0|> at 128264."""
    tokenizer = llama_3_tokenizer()
    tokenizer.add_tokens([*LLASA_MARKERS, *(f"<|s_{n}|>" for n in range(codebook_size))])
    return tokenizer


def write_qwen2_tokenizer(folder: Path) -> None:
    """vocab.json, merges.txt and tokenizer_config.json, as CosyVoice-BlankEN has them."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(_bytes(), ensure_ascii=False))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    added = {
        str(256 + n): {
            "content": token, "lstrip": False, "normalized": False, "rstrip": False,
            "single_word": False, "special": True,
        }
        for n, token in enumerate(QWEN2_SPECIAL)
    }  # fmt: skip
    config = {
        "add_prefix_space": False,
        "added_tokens_decoder": added,
        "additional_special_tokens": QWEN2_SPECIAL[1:],
        "bos_token": None,
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "tokenizer_class": "Qwen2Tokenizer",
        "model_max_length": 32_768,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def qwen2_cosy_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Qwen2's, and what icefall's recipe adds to it."""
    write_qwen2_tokenizer(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens([*(f"<|s_{n}|>" for n in range(6561)), "<|SPEECH_GENERATION_START|>"])
    return tokenizer


NEUTTS_MARKERS = (
    "<|TEXT_REPLACE|>", "<|TEXT_PROMPT_START|>", "<|TEXT_PROMPT_END|>", "<|SPEECH_REPLACE|>",
    "<|SPEECH_GENERATION_START|>", "<|SPEECH_GENERATION_END|>",
)  # fmt: skip


def neutts_tokenizer(
    base: str, folder: Path, markers: Sequence[str] = NEUTTS_MARKERS
) -> PreTrainedTokenizerBase:
    """Qwen2's as NeuTTS Air has it, or one that begins a text itself, as a Llama's."""
    tokenizer: PreTrainedTokenizerBase = llama_3_tokenizer()
    if base == "qwen2":
        write_qwen2_tokenizer(folder)
        tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens([*markers, *(f"<|speech_{n}|>" for n in range(65_536))])
    return tokenizer


def _bytes() -> dict[str, int]:
    return {character: n for n, character in enumerate(sorted(bytes_to_unicode().values()))}
