"""Folders of fine-tunes: measured as transformers runs them, or refused at the start."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, WhisperForConditionalGeneration

from support.paths import TINY
from support.whisper_engine import features
from ttsrl.audio.waveform import Waveform
from ttsrl.errors import BadInput
from ttsrl.models.files import folder_digest
from ttsrl.reward.config import WhisperConfig
from ttsrl.scorers.whisper.scorer import WhisperScorer

RATE_HZ = 16_000
WORD = "nordwind"
Engine = Literal["torch", "ctranslate2"]


@pytest.fixture
def folder(odd_whisper: Path, tmp_path: Path) -> Path:
    """A copy that may be changed."""
    return Path(shutil.copytree(odd_whisper, tmp_path / "whisper"))


def change(file: Path, **values: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def reweigh(folder: Path, change_it: Callable[[dict[str, torch.Tensor]], object]) -> None:
    weights = load_file(folder / "model.safetensors")
    change_it(weights)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def untie(folder: Path, tied: bool | None = False) -> None:
    """Gives the decoder's output a matrix of its own."""

    def add(weights: dict[str, torch.Tensor]) -> None:
        embeddings = weights["model.decoder.embed_tokens.weight"]
        weights["proj_out.weight"] = 0.7 * embeddings.roll(1, 1)

    reweigh(folder, add)
    change(folder / "config.json", tie_word_embeddings=tied)


def add_word(folder: Path) -> None:
    """As `tokenizer.add_tokens` and `model.resize_token_embeddings` leave a folder."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens([WORD])
    tokenizer.save_pretrained(folder)
    model = WhisperForConditionalGeneration.from_pretrained(folder)
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    generation = (folder / "generation_config.json").read_text()
    with torch.no_grad():
        model.model.decoder.embed_tokens.weight[-1].normal_(generator=torch.Generator())
    model.save_pretrained(folder)
    (folder / "generation_config.json").write_text(generation)


def expected_nll(folder: Path, waveform: Waveform, text: str) -> float:
    """Of mode channel-io, by transformers' tokenizer and forward pass."""
    model = WhisperForConditionalGeneration.from_pretrained(folder, dtype=torch.float64).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    start, end = tokenizer.convert_tokens_to_ids(["<|startoftranscript|>", "<|endoftext|>"])
    ids = torch.tensor([[start, *tokenizer.encode(text, add_special_tokens=False), end]])
    with torch.no_grad():
        heard = features(folder, [waveform]).double()
        logits = model(heard, decoder_input_ids=ids[:, :-1]).logits[0]
    return torch.nn.functional.cross_entropy(logits, ids[0, 1:]).item()


@pytest.mark.parametrize("engine", ["torch", "ctranslate2"])
@pytest.mark.parametrize(
    "alter", [untie, lambda f: untie(f, tied=True), add_word], ids=["untied", "both", "word"]
)
def test_a_fine_tune_is_measured_with_its_own_weights_and_words(
    alter: Callable[[Path], None], engine: Engine, folder: Path, noises: list[Waveform]
) -> None:
    alter(folder)
    texts = [f"red {WORD} birds {WORD}s", "one two", WORD]
    scorer = WhisperScorer(WhisperConfig(model=str(folder), mode="channel-io", engine=engine))
    raws = scorer.score(noises[:3], RATE_HZ, texts, ["en"] * 3)
    for raw, waveform, text in zip(raws, noises, texts, strict=False):
        assert raw.nll == pytest.approx(expected_nll(folder, waveform, text), abs=2e-3)


def test_a_word_that_was_added_may_be_written(folder: Path) -> None:
    add_word(folder)
    tokens = WhisperScorer(WhisperConfig(model=str(folder))).tokens
    [word] = tokens.encode(WORD)
    assert word == tokens.size - 1 and word not in tokens.never
    assert tokens.decode([word]) == WORD
    time_stamps = [n for token, n in tokens.vocabulary.items() if token[2:3].isdigit()]
    assert time_stamps and set(time_stamps) <= set(tokens.never)
    change(folder / "generation_config.json", suppress_tokens=[word])
    assert word in WhisperScorer(WhisperConfig(model=str(folder))).tokens.never


@pytest.mark.parametrize("engine", ["torch", "ctranslate2"])
def test_without_generation_config_the_rules_are_those_of_config_json(
    engine: Engine, folder: Path, noises: list[Waveform]
) -> None:
    """As transformers saved a Whisper until early 2023. The tiny one has a vocabulary of its own,
    which does not say whether it is multilingual: `tests/real` has OpenAI's."""
    config = WhisperConfig(model=str(folder), engine=engine)
    expected = WhisperScorer(config).transcribe(noises, RATE_HZ, ["en"] * 5)
    file = folder / "generation_config.json"
    generation = json.loads(file.read_text())
    names = ("suppress_tokens", "begin_suppress_tokens", "eos_token_id", "decoder_start_token_id")
    file.unlink()
    change(folder / "config.json", **{name: generation[name] for name in names})
    with pytest.raises(BadInput, match="has no is_multilingual"):
        WhisperScorer(config)
    file.write_text(json.dumps({"is_multilingual": True} | {n: generation[n] for n in names}))
    assert WhisperScorer(config).transcribe(noises, RATE_HZ, ["en"] * 5) == expected
    file.unlink()
    config_json = json.loads((folder / "config.json").read_text())
    del config_json["begin_suppress_tokens"]
    (folder / "config.json").write_text(json.dumps(config_json))
    with pytest.raises(BadInput, match=r"no generation_config\.json, and no begin_suppress_tokens"):
        WhisperScorer(config)


def test_an_end_token_in_a_list_is_one(folder: Path) -> None:
    generation = json.loads((folder / "generation_config.json").read_text())
    change(folder / "generation_config.json", eos_token_id=[generation["eos_token_id"]])
    WhisperScorer(WhisperConfig(model=str(folder)))
    change(folder / "generation_config.json", eos_token_id=[3])
    with pytest.raises(BadInput, match=r"<\|endoftext\|> has the id 378 in its tokenizer, and 3"):
        WhisperScorer(WhisperConfig(model=str(folder)))


def tokenizer_with(**of_word: object) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        add_word(folder)
        content = json.loads((folder / "tokenizer.json").read_text())
        content["added_tokens"][-1] |= of_word
        (folder / "tokenizer.json").write_text(json.dumps(content))

    return spoil


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (
            lambda f: change(f / "preprocessor_config.json", feature_size=128),
            r"makes 128 mel bands \(feature_size\), and its encoder hears 80",
        ),
        (
            lambda f: change(f / "preprocessor_config.json", chunk_length=4),
            r"makes 400 frames in a window .*, and its encoder hears 300",
        ),
        (
            lambda f: change(f / "preprocessor_config.json", chunk_length=2),
            r"makes 200 frames in a window",
        ),
        (
            lambda f: change(f / "preprocessor_config.json", sampling_rate=8000),
            r"makes 150 frames in a window",
        ),
        (
            lambda f: (f / "preprocessor_config.json").unlink(),
            "feature extractor of .* is not there: it has no preprocessor_config.json or",
        ),
        (
            lambda f: change(f / "generation_config.json", suppress_tokens=[-1]),
            "suppress_tokens of the Whisper at .* has -1, and its ids are 0 to",
        ),
        (
            lambda f: change(f / "generation_config.json", begin_suppress_tokens=[5, 9999]),
            "begin_suppress_tokens of the Whisper at .* has 9999",
        ),
        (
            lambda f: (f / "generation_config.json").write_text("{"),
            "generation_config.json' is not a valid JSON",
        ),
        (tokenizer_with(lstrip=True), "added token 'nordwind' depends on what stands beside it"),
        (tokenizer_with(single_word=True), "added token 'nordwind' depends on what"),
        (
            lambda f: (f / "model.safetensors").write_text(
                "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 290403936\n"
            ),
            "model.safetensors is a pointer of Git LFS, not the weights; run `git lfs pull`",
        ),
    ],
)
def test_a_folder_that_does_not_fit_together_is_refused(
    spoil: Callable[[Path], object], reason: str, folder: Path
) -> None:
    spoil(folder)
    with pytest.raises(BadInput, match=reason):
        WhisperScorer(WhisperConfig(model=str(folder)))


def test_ctranslate2_takes_the_weights_that_are_compared(
    folder: Path, noises: list[Waveform]
) -> None:
    """A model.bin beside them may be of another model, and decides nothing."""
    config = WhisperConfig(model=str(folder), engine="ctranslate2")
    expected = WhisperScorer(config).transcribe(noises, RATE_HZ, ["en"] * 5)
    digest = folder_digest(folder)
    (folder / "model.bin").write_bytes(os.urandom(100))
    assert folder_digest(folder) == digest
    assert WhisperScorer(config).transcribe(noises, RATE_HZ, ["en"] * 5) == expected


def test_a_language_that_a_whisper_does_not_know_is_named(noises: list[Waveform]) -> None:
    scorer = WhisperScorer(WhisperConfig(model=str(TINY / "whisper")))
    with pytest.raises(BadInput, match=r"does not know the language 'yue' \(Cantonese\)"):
        scorer.score(noises[:1], RATE_HZ, ["你好"], ["yue"])
