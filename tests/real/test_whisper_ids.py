"""Ids of texts are those of openai-whisper's own encoder."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from random import Random

import pytest
from transformers import WhisperConfig
from whisper.tokenizer import get_encoding

from support.multilingual_texts import texts
from ttsrl.errors import BadInput
from ttsrl.scorers.whisper.tokens import WhisperTokens

FOLDERS = {
    "whisper_base": "multilingual",
    "whisper_base_older": "multilingual",
    "whisper_tiny_en": "gpt2",
}
"""openai-whisper's name of each vocabulary."""


def tokens_of(folder: Path) -> WhisperTokens:
    return WhisperTokens(folder, WhisperConfig.from_pretrained(folder))


def unusual(count: int) -> list[str]:
    """Characters of all of Unicode, spaces and line ends among them."""
    random = Random(0)
    ranges = [(0x00, 0x250), (0x250, 0x3000), (0x3000, 0xD800), (0xE000, 0x20000)]
    return [
        "".join(
            random.choice([" ", "\n", "'ll", chr(random.randrange(*random.choice(ranges)))])
            for _ in range(random.randrange(40))
        )
        for _ in range(count)
    ]


@pytest.mark.parametrize("model", FOLDERS)
def test_ids_are_openai_whisper_s(model: str, request: pytest.FixtureRequest) -> None:
    tokens = tokens_of(request.getfixturevalue(model))
    theirs = get_encoding(FOLDERS[model])
    for text in [*texts(6_000), *unusual(1_000)]:
        ids = theirs.encode_ordinary(text)
        assert tokens.encode(text) == ids
        assert tokens.decode(ids) == theirs.decode(ids).strip()


@pytest.mark.parametrize("model", FOLDERS)
def test_control_tokens_are_openai_whisper_s(model: str, request: pytest.FixtureRequest) -> None:
    tokens = tokens_of(request.getfixturevalue(model))
    theirs = get_encoding(FOLDERS[model])._special_tokens
    known = {token: n for token, n in tokens.vocabulary.items() if n >= tokens.end}
    assert known == {token: theirs[token] for token in known}
    named = {token for token in theirs if not token[2].isdigit()}  # without time stamps
    assert known.keys() >= named


def test_openai_s_vocabulary_in_another_order_is_refused(
    whisper_base: Path, tmp_path: Path
) -> None:
    for file in whisper_base.iterdir():
        os.link(file, tmp_path / file.name)
    tokenizer = json.loads((whisper_base / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary["Ġthe"], vocabulary["Ġto"] = vocabulary["Ġto"], vocabulary["Ġthe"]
    (tmp_path / "tokenizer.json").unlink()
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(BadInput, match="50257 text tokens, as many as OpenAI's Whisper, but not"):
        tokens_of(tmp_path)


@pytest.mark.parametrize("spared", ["whisper_tiny_en", "whisper_base"])
def test_the_tokenizer_of_another_whisper_is_refused(
    spared: str, whisper_base: Path, whisper_tiny_en: Path, tmp_path: Path
) -> None:
    """Weights and settings of one, tokenizer.json of the other."""
    one, other = whisper_base, whisper_tiny_en
    if spared == "whisper_base":
        one, other = other, one
    for name in ("config.json", "generation_config.json"):
        shutil.copy(one / name, tmp_path)
    shutil.copy(other / "tokenizer.json", tmp_path)
    with pytest.raises(BadInput, match=r"<\|endoftext\|> has the id"):
        tokens_of(tmp_path)


@pytest.mark.parametrize("model", FOLDERS)
def test_openai_s_vocabulary_says_which_model_is_multilingual(
    model: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """As transformers saved a fine-tune until early 2023: no generation_config.json, or one made
    from config.json."""
    folder: Path = request.getfixturevalue(model)
    rules = ("suppress_tokens", "begin_suppress_tokens", "eos_token_id", "decoder_start_token_id")
    generation = json.loads((folder / "generation_config.json").read_text())
    config = json.loads((folder / "config.json").read_text())
    config |= {name: generation[name] for name in rules}
    (tmp_path / "config.json").write_text(json.dumps(config))
    shutil.copy(folder / "tokenizer.json", tmp_path)
    whole, without = tokens_of(folder), tokens_of(tmp_path)
    older = {name: generation[name] for name in rules} | {"_from_model_config": True}
    (tmp_path / "generation_config.json").write_text(json.dumps(older))
    for tokens in (without, tokens_of(tmp_path)):
        assert tokens.languages == whole.languages
        assert (tokens.never, tokens.never_first) == (whole.never, whole.never_first)
        assert tokens.prompt("en") == whole.prompt("en")
