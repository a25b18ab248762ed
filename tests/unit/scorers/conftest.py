"""A Whisper with all that the tiny one lacks, and what no recogniser can be sure of."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import WhisperConfig, WhisperForConditionalGeneration

from support.paths import TINY
from ttsrl.audio.waveform import Waveform


@pytest.fixture(autouse=True, scope="module")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Converted models do not go to the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def noises() -> list[Waveform]:
    """Buzzes of several lengths: what a recogniser must never be sure of."""
    random = np.random.default_rng(0)
    lengths = [16_000, 47_999, 20_480, 1_280, 48_000]
    return [(0.1 * random.standard_normal(n)).astype(np.float32) for n in lengths]


@pytest.fixture(scope="module")
def odd_whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights, two languages, and suppressed tokens: all that the tiny Whisper lacks."""
    folder = tmp_path_factory.mktemp("whisper")
    shutil.copytree(TINY / "whisper", folder, dirs_exist_ok=True)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        text = (folder / name).read_text()
        (folder / name).write_text(text.replace("<|startoflm|>", "<|de|>"))
    config = WhisperConfig.from_pretrained(folder)
    generation = json.loads((TINY / "whisper/generation_config.json").read_text())
    end, vocabulary = generation["eos_token_id"], config.vocab_size
    model = WhisperForConditionalGeneration(config)
    decoder = model.model.decoder
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for _, weight in sorted(model.named_parameters()):
            if weight.dim() > 1:
                weight.normal_(std=0.3, generator=random)
        # An end so likely that transcripts are of different lengths.
        decoder.layer_norm.bias.add_(0.4 * decoder.embed_tokens.weight[end])
    model.save_pretrained(folder)
    generation |= {
        "suppress_tokens": [*range(5, end, 3), *range(end + 1, vocabulary)],
        "begin_suppress_tokens": [*range(6, end, 3), end],
        "lang_to_id": {"<|en|>": 380, "<|de|>": 383},
    }
    (folder / "generation_config.json").write_text(json.dumps(generation))
    return folder
