"""Models of their published sizes with random weights: good for speed and memory alone.

The Whisper writes whole words of the tiny stack's tokenizer and ends every transcript by itself
after `WORDS` of them, about what eight seconds of speech have, so that it can be run as it is. The
Llasa and the Qwen2 with CosyVoice2's tokens say speech tokens alone and end by themselves, so that
a reward can be measured of what they say.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    AutoTokenizer,
    ClapConfig,
    LlamaConfig,
    ParakeetCTCConfig,
    WhisperConfig,
    WhisperForConditionalGeneration,
)

from ttsrl.runtime.machine import torch_device

sys.path.append(str(Path(__file__).parents[1] / "tests"))  # the makers of the tests' models

TINY = Path(__file__).parents[1] / "examples/tiny/whisper"
WORDS = 27
SHAPES = {
    "large-v3": {"d_model": 1280, "layers": 32, "heads": 20, "mels": 128, "vocabulary": 51_866},
    "large-v3-turbo": {
        "d_model": 1280,
        "layers": 32,
        "decoder_layers": 4,
        "heads": 20,
        "mels": 128,
        "vocabulary": 51_866,
    },
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
        decoder_layers=s.get("decoder_layers", s["layers"]),
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
    (model.bfloat16() if device != "cpu" else model.float()).save_pretrained(folder)
    generation = json.loads((TINY / "generation_config.json").read_text())
    speakable = {*_words(tokenizer), end}
    generation["suppress_tokens"] = [n for n in range(s["vocabulary"]) if n not in speakable]
    generation["begin_suppress_tokens"] = [end]
    (folder / "generation_config.json").write_text(json.dumps(generation))


def make_xcodec2(folder: Path, *, small: bool, device: str) -> None:
    """The decoder's full size, or a small one; the encoder, which nobody runs, is small."""
    import transformers

    newer: Any = transformers  # than this environment's
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
        model = newer.Xcodec2Model(newer.Xcodec2Config(semantic_model_config=semantic, **sizes))
    model.save_pretrained(folder)


LLAMA_SHAPES: dict[str, dict[str, Any]] = {
    "1b": {
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 16,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 64,
    },
    "3b": {
        "hidden_size": 3072,
        "intermediate_size": 8192,
        "num_hidden_layers": 28,
        "num_attention_heads": 24,
        "num_key_value_heads": 8,
        "head_dim": 128,
    },
    "test": {
        "hidden_size": 128,
        "intermediate_size": 256,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 32,
    },
}
CODES = 65_536
STATES = 32
"""States that an utterance passes through, one code each to enter it: its length is a sum of as
many geometric ones, so that a step's rollouts differ by about 1 / sqrt(STATES)."""


def make_llasa(folder: Path, shape: str, device: str, tokens: float) -> None:
    """A Llasa in its published format, 193 800 token ids, that says `tokens` codes on average.

    Sampled at temperature 0.8 and top_p 0.9, as channel-io's recipe does.
    """
    from transformers import LlamaForCausalLM

    from support.family_tokenizers import llasa_tokenizer

    tokenizer = llasa_tokenizer()
    tokenizer.pad_token = "<|end_of_text|>"
    tokenizer.save_pretrained(folder)
    first, end, start = (
        tokenizer.get_vocab()[f"<|{name}|>"]
        for name in ("s_0", "SPEECH_GENERATION_END", "SPEECH_GENERATION_START")
    )
    config = _llama_config(shape, len(tokenizer), end)
    torch.manual_seed(0)
    with torch.device(device):
        model = LlamaForCausalLM(config)
    with torch.no_grad():
        _teach_states(model, first, CODES, end, start, tokens, temperature=0.8, top_p=0.9)
    generation = model.generation_config
    generation.eos_token_id, generation.pad_token_id = end, config.pad_token_id
    model.bfloat16().save_pretrained(folder)


def make_orpheus(folder: Path, shape: str, device: str) -> None:
    """Orpheus' format and its 156 940 token ids; it says anything, and does not end."""
    from transformers import LlamaForCausalLM

    from support.orpheus_files import orpheus_tokenizer

    tokenizer = orpheus_tokenizer()
    tokenizer.save_pretrained(folder)
    end = tokenizer.get_vocab()["<custom_token_2>"]
    torch.manual_seed(0)
    with torch.device(device):
        model = LlamaForCausalLM(_llama_config(shape, 156_940, end))
    model.bfloat16().save_pretrained(folder)


def _llama_config(shape: str, vocabulary: int, end: int) -> LlamaConfig:
    """Llama 3.2's, with another vocabulary."""
    return LlamaConfig(
        vocab_size=vocabulary,
        max_position_embeddings=131_072,
        tie_word_embeddings=True,
        rms_norm_eps=1e-5,
        bos_token_id=128_000,
        eos_token_id=end,
        pad_token_id=128_001,
        rope_parameters={
            "rope_type": "llama3",
            "rope_theta": 500_000.0,
            "factor": 32.0,
            "high_freq_factor": 4.0,
            "low_freq_factor": 1.0,
            "original_max_position_embeddings": 8192,
        },
        **LLAMA_SHAPES[shape],
    )


def _teach_states(
    model: Any,
    first: int,
    count: int,
    end: int,
    start: int,
    tokens: float,
    *,
    temperature: float,
    top_p: float,
) -> None:
    """Write a chain of states into random weights: `count` codes from the id `first` on.

    Channel 0 tells codes from text. A code's state is one of the next `STATES` channels; the one
    that enters a state has another channel beside it, which the first layer's feed sets for the
    state that follows. The other channels are noise, of random sign in the last norm: tied
    embeddings would say the token they read once more.
    """
    known, beside = 1 + STATES, 1 + 2 * STATES + 1
    strength, quiet = 1.5, 2e-5
    per_state = count // STATES
    for name, weight in model.named_parameters():
        if weight.dim() > 1:
            ends_block = name.endswith(("o_proj.weight", "down_proj.weight"))
            weight.normal_(0.0, quiet if ends_block else 0.02)
            if ends_block:
                weight[:beside] = 0.0
    table = model.model.embed_tokens.weight
    table[:, :beside] = 0.0
    table[:, 0] = -strength
    codes = torch.arange(STATES * per_state, device=table.device)
    state = codes // per_state
    table[first + codes, 0] = strength
    table[first + codes, 1 + state] = strength
    entering = first + per_state * torch.arange(STATES, device=table.device)
    table[entering, known + torch.arange(STATES, device=table.device)] = strength
    table[start, :beside] = table[first + 1, :beside]
    table[end, 0] = table[end, known + STATES] = strength

    # The odds of leaving a state, as top_p and the temperature leave them.
    leave = top_p * STATES / tokens
    margin = temperature * np.log(leave * per_state / (1 - leave))
    width = table.shape[1]
    noise = 0.02**2 * (width - beside)
    sharpness = 7.0  # a code's logit is 30 above that of text
    nudge = (strength**2 + margin / sharpness) / strength
    norm = model.model.norm.weight
    norm[:beside] = sharpness * ((2 * strength**2 + noise + nudge**2) / width) ** 0.5
    norm[beside:] = torch.where(torch.rand_like(norm[beside:]) < 0.5, -1.0, 1.0)
    feed = model.model.layers[0].mlp
    units, gate, up = 2 * STATES, 4.0, 0.1
    feed.gate_proj.weight[:units] = 0.0
    feed.up_proj.weight[:units] = 0.0
    feed.down_proj.weight[:, :units] = 0.0
    scale = (width / (2 * strength**2 + noise)) ** 0.5
    feed.gate_proj.weight[:units, 0] = gate / (scale * strength)

    def out(size_squared: float) -> float:
        """What a unit gives for a channel of a token of this size."""
        normed = (width / size_squared) ** 0.5
        opened = gate * normed / scale
        return opened / (1 + np.exp(-opened)) * up * normed * strength

    for k in range(STATES):
        feed.up_proj.weight[k, 1 + k] = up
        feed.down_proj.weight[known + k + 1, k] = nudge / out(2 * strength**2 + noise)
        # What entered a state shall not be said again.
        feed.up_proj.weight[STATES + k, known + k] = up
        feed.down_proj.weight[known + k, STATES + k] = -strength / out(3 * strength**2 + noise)


QWEN2_SHAPES: dict[str, dict[str, Any]] = {
    "0.5b": {
        "vocab_size": 151_936,
        "hidden_size": 896,
        "intermediate_size": 4864,
        "num_hidden_layers": 24,
        "num_attention_heads": 14,
        "num_key_value_heads": 2,
        "max_position_embeddings": 32_768,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6},
    },
    "test": {
        "hidden_size": 128,
        "intermediate_size": 256,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    },
}


def make_cosyvoice2(folder: Path, shape: str, device: str) -> None:
    """A published checkpoint's language model, CosyVoice2's size, and its Hugging Face folder.

    Utterances end by themselves after some hundred tokens, more or less by chance.
    """
    from support.cosyvoice2_files import TINY as SMALL
    from support.cosyvoice2_files import write_llm
    from ttsrl.models.cosyvoice_llm import to_huggingface

    sizes = SMALL if shape == "test" else QWEN2_SHAPES[shape]
    write_llm(folder / "checkpoint", ending=7.0, shape=sizes)
    print(to_huggingface(folder / "checkpoint", folder / "model", device), flush=True)
    (folder / "config.json").write_text("{}")


def make_qwen2_cosy(folder: Path, shape: str, device: str, tokens: float) -> None:
    """A Qwen2 with CosyVoice2's tokens in its vocabulary that says `tokens` codes on average.

    Sampled at temperature 1, as mair-hub's DAPO recipe does.
    """
    from transformers import Qwen2Config, Qwen2ForCausalLM

    from support.family_tokenizers import qwen2_cosy_tokenizer

    tokenizer = qwen2_cosy_tokenizer(folder)
    tokenizer.save_pretrained(folder)
    first, end, start = (
        tokenizer.get_vocab()[name]
        for name in ("<|s_0|>", "<|im_end|>", "<|SPEECH_GENERATION_START|>")
    )
    sizes: dict[str, Any] = {**QWEN2_SHAPES[shape], "vocab_size": len(tokenizer)}
    config = Qwen2Config(tie_word_embeddings=True, eos_token_id=end, pad_token_id=end, **sizes)
    torch.manual_seed(0)
    with torch.device(device):
        model = Qwen2ForCausalLM(config)
    with torch.no_grad():
        _teach_states(model, first, 6561, end, start, tokens, temperature=1.0, top_p=1.0)
    generation = model.generation_config
    generation.eos_token_id, generation.pad_token_id = end, end
    model.bfloat16().save_pretrained(folder)


def make_cosyvoice2_codec(folder: Path, *, small: bool) -> None:
    """flow.pt and hift.pt of the published sizes; what reads a voice is small."""
    import soundfile

    from support.cosyvoice2_files import write_codec, write_voice_models
    from ttsrl.codecs.cosyvoice2_network import make_flow, make_hift
    from ttsrl.scorers.reference import voice

    write_voice_models(write_codec(folder))
    if not small:
        flow, hift = make_flow(), make_hift()
        hift.f0_predictor.classifier.bias.data.fill_(150.0)
        torch.save(flow.state_dict(), folder / "flow.pt")
        torch.save({f"generator.{k}": t for k, t in hift.state_dict().items()}, folder / "hift.pt")
    soundfile.write(folder / "voice.wav", voice(3.0, 24_000), 24_000)
    (folder / "config.json").write_text("{}")


def make_listener(folder: Path, kind: str) -> None:
    """laion/clap-htsat's and nvidia/parakeet-ctc-0.6b's sizes, which are their classes' own."""
    from support.tiny_scorers import LETTERS, save_clap, save_parakeet

    if kind == "clap":
        save_clap(folder, ClapConfig(), 0.02)
    else:
        save_parakeet(folder, ParakeetCTCConfig(vocab_size=len(LETTERS), pad_token_id=0), 0.02)


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


def main() -> None:
    """random_models.py FOLDER KIND SHAPE [TOKENS]; TOKENS of llasa and qwen2-cosy."""
    folder, kind, shape, *rest = sys.argv[1:]
    Path(folder).mkdir(parents=True, exist_ok=True)
    device = torch_device()
    match kind:
        case "whisper":
            make_whisper(Path(folder), shape, device)
        case "xcodec2":
            make_xcodec2(Path(folder), small=shape == "test", device=device)
        case "llasa":
            make_llasa(Path(folder), shape, device, float(rest[0]))
        case "orpheus":
            make_orpheus(Path(folder), shape, device)
        case "cosyvoice2":
            make_cosyvoice2(Path(folder), shape, device)
        case "qwen2-cosy":
            make_qwen2_cosy(Path(folder), shape, device, float(rest[0]))
        case "cosyvoice2-codec":
            make_cosyvoice2_codec(Path(folder), small=shape == "test")
        case "clap" | "parakeet":
            make_listener(Path(folder), kind)
        case _:
            raise SystemExit(f"no model {kind}")


if __name__ == "__main__":
    main()
