"""Whisper and XCodec2 of a real size with random weights: good for speed and memory alone.

The Whisper writes whole words of the tiny stack's tokenizer and ends every transcript by itself
after `WORDS` of them, about what eight seconds of speech have, so that it can be run as it is.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoTokenizer, WhisperConfig, WhisperForConditionalGeneration

TINY = Path(__file__).parents[2] / "examples/tiny/whisper"
WORDS = 27
SHAPES = {
    "large-v3": {"d_model": 1280, "layers": 32, "heads": 20, "mels": 128, "vocabulary": 51_866},
    "tiny": {"d_model": 384, "layers": 4, "heads": 6, "mels": 80, "vocabulary": 51_865},
    "test": {"d_model": 64, "layers": 2, "heads": 2, "mels": 80, "vocabulary": 600},
}


def make_whisper(folder: Path, shape: str, device: str) -> None:
    """A Hugging Face folder; 30 s windows."""
    s = SHAPES[shape]
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(TINY / name, folder)
    features = json.loads((TINY / "preprocessor_config.json").read_text())
    features |= {"chunk_length": 30, "n_samples": 480_000, "nb_max_frames": 3000}
    features |= {"feature_size": s["mels"]}
    (folder / "preprocessor_config.json").write_text(json.dumps(features))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tiny = json.loads((TINY / "config.json").read_text())
    end = tiny["eos_token_id"]
    config = WhisperConfig(
        d_model=s["d_model"],
        encoder_layers=s["layers"],
        decoder_layers=s["layers"],
        encoder_attention_heads=s["heads"],
        decoder_attention_heads=s["heads"],
        encoder_ffn_dim=4 * s["d_model"],
        decoder_ffn_dim=4 * s["d_model"],
        num_mel_bins=s["mels"],
        vocab_size=s["vocabulary"],
        **{k: tiny[k] for k in ("bos_token_id", "eos_token_id", "pad_token_id")},
        decoder_start_token_id=tiny["decoder_start_token_id"],
        begin_suppress_tokens=None,
        suppress_tokens=None,
    )
    with torch.device(device):
        model = WhisperForConditionalGeneration(config)
    torch.manual_seed(0)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() > 1 and "encoder.embed_positions" not in name:
                weight.normal_(0.0, 0.02)
        decoder = model.model.decoder
        positions = decoder.embed_positions.weight
        positions.normal_(0.0, 0.06)  # another word at every place
        # From here on nothing but the end is likely.
        positions[4 + WORDS - 1 :] += 20.0 * decoder.embed_tokens.weight[end]
    model.to(torch.bfloat16 if device != "cpu" else torch.float32).save_pretrained(folder)
    generation = json.loads((TINY / "generation_config.json").read_text())
    speakable = {*_words(tokenizer), end}
    generation["suppress_tokens"] = [n for n in range(s["vocabulary"]) if n not in speakable]
    generation["begin_suppress_tokens"] = [end]
    (folder / "generation_config.json").write_text(json.dumps(generation))


def make_xcodec2(folder: Path, *, small: bool, device: str) -> None:
    """The decoder's full size, or a small one; the encoder, which nobody runs, is small."""
    import transformers

    Xcodec2Config: Any = transformers.Xcodec2Config  # pyright: ignore
    semantic: dict[str, Any] = {"model_type": "wav2vec2-bert", "num_hidden_layers": 1}
    sizes: dict[str, Any] = {}
    if small:
        sizes = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2}
        sizes |= {"num_attention_heads": 4, "num_key_value_heads": 4, "encoder_hidden_size": 8}
        sizes |= {"decoder_hidden_size": 64, "quantization_dim": 96}
        semantic |= {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 32}
        semantic |= {"output_hidden_size": 32}
    torch.manual_seed(0)
    with torch.device(device):
        model = transformers.Xcodec2Model(  # pyright: ignore
            Xcodec2Config(semantic_model_config=semantic, **sizes)
        )
    model.save_pretrained(folder)


def durations_s(count: int) -> list[float]:
    """2 to 12 s, the same every time."""
    return np.random.default_rng(1234).uniform(2.0, 12.0, count).tolist()


def noise(count: int) -> list[np.ndarray[Any, np.dtype[np.float32]]]:
    """Something to hear, at 16 kHz."""
    random = np.random.default_rng(0)
    return [
        (0.1 * random.standard_normal(int(16_000 * s))).astype(np.float32)
        for s in durations_s(count)
    ]


def with_errors(words: list[str], share: float, seed: int) -> list[str]:
    """A text that was misspoken: some words are others, are missing, or are said in addition."""
    random = np.random.default_rng(seed)
    said: list[str] = []
    for word in words:
        if random.random() >= share:
            said.append(word)
            continue
        kind = random.integers(3)
        if kind != 1:
            said.append(str(random.choice(words)))
        if kind == 2:
            said.append(word)
    return said


def _words(tokenizer: Any) -> list[int]:
    """Tokens that are a space and letters, and are written as themselves."""
    found: list[int] = []
    for token in range(len(tokenizer)):
        text = tokenizer.decode([token])
        spaced = text[:1] == " " and text[1:].isalpha() and text.isascii()
        if spaced and tokenizer.encode(text, add_special_tokens=False) == [token]:
            found.append(token)
    return found
