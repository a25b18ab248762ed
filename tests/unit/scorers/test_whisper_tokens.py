"""Ids of texts, and the folders that cannot give them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoTokenizer, WhisperConfig

from support.paths import TINY
from ttsrl.errors import BadInput
from ttsrl.models.files import folder_digest
from ttsrl.reward.config import WhisperConfig as RewardWhisperConfig
from ttsrl.scorers.whisper.ctranslate2_engine import CONVERSION_VERSION
from ttsrl.scorers.whisper.scorer import WhisperScorer
from ttsrl.scorers.whisper.tokens import WhisperTokens

WHISPER = TINY / "whisper"
SENTENCES = [
    *(json.loads(line)["text"] for line in (TINY / "texts.jsonl").read_text().split("\n")[:500]),
    " four red tigers sing, and the old birds don't!  ",
    "Straße 東京 ქართული\n",
    "<|not a token|>",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the tiny Whisper without its weights."""
    shutil.copytree(
        WHISPER, tmp_path / "copy", ignore=shutil.ignore_patterns("*.safetensors", "*.md")
    )
    return tmp_path / "copy"


def tokens_of(folder: Path) -> WhisperTokens:
    return WhisperTokens(folder, WhisperConfig.from_pretrained(folder))


def change(file: Path, change: Callable[[Any], object]) -> None:
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def test_a_vocabulary_of_one_s_own_gives_the_ids_that_the_model_was_trained_with() -> None:
    tokenizer = AutoTokenizer.from_pretrained(WHISPER)
    tokens = tokens_of(WHISPER)
    for text in SENTENCES:
        ids = tokenizer.encode(text, add_special_tokens=False)
        assert tokens.encode(text) == ids
        assert tokens.decode(ids) == tokenizer.decode(ids).strip()


def test_the_merges_of_a_folder_do_not_matter(folder: Path) -> None:
    wanted = [tokens_of(folder).encode(text) for text in SENTENCES]
    change(folder / "tokenizer.json", lambda t: t["model"]["merges"].pop(0))
    assert [tokens_of(folder).encode(text) for text in SENTENCES] == wanted
    change(folder / "tokenizer.json", lambda t: t["model"]["merges"].reverse())
    assert [tokens_of(folder).encode(text) for text in SENTENCES] == wanted


def as_vocab_json(folder: Path) -> None:
    """As openai/whisper-* has it beside tokenizer.json, here without merges.txt."""
    content = json.loads((folder / "tokenizer.json").read_text())
    (folder / "vocab.json").write_text(json.dumps(content["model"]["vocab"]))
    added = {token["content"]: token["id"] for token in content["added_tokens"]}
    (folder / "added_tokens.json").write_text(json.dumps(added))


def as_tokenizer_config(folder: Path) -> None:
    content = json.loads((folder / "tokenizer.json").read_text())
    (folder / "vocab.json").write_text(json.dumps(content["model"]["vocab"]))
    added = {token["id"]: {"content": token["content"]} for token in content["added_tokens"]}
    change(folder / "tokenizer_config.json", lambda c: c.update(added_tokens_decoder=added))


def in_order(folder: Path) -> list[str]:
    vocabulary = tokens_of(folder).vocabulary
    return sorted(vocabulary, key=vocabulary.__getitem__)


def as_vocabulary_txt(folder: Path) -> None:
    (folder / "vocabulary.txt").write_text("".join(f"{token}\n" for token in in_order(folder)))


def as_vocabulary_json(folder: Path) -> None:
    (folder / "vocabulary.json").write_text(json.dumps(in_order(folder)))


@pytest.mark.parametrize(
    "write", [as_vocab_json, as_tokenizer_config, as_vocabulary_txt, as_vocabulary_json]
)
def test_a_vocabulary_is_read_in_every_form(folder: Path, write: Callable[[Path], None]) -> None:
    wanted = tokens_of(folder)
    write(folder)
    (folder / "tokenizer.json").unlink()
    tokens = tokens_of(folder)
    assert tokens.vocabulary == wanted.vocabulary
    assert [tokens.encode(text) for text in SENTENCES] == list(map(wanted.encode, SENTENCES))


def test_older_names_of_control_tokens_are_known(folder: Path) -> None:
    file = folder / "tokenizer.json"
    old = file.read_text().replace("<|nospeech|>", "<|nocaptions|>").replace("startoflm", "iw")
    file.write_text(old)
    vocabulary = tokens_of(folder).vocabulary
    assert vocabulary["<|nospeech|>"] == 385
    assert vocabulary["<|he|>"] == 383


def swap(vocabulary: dict[str, int], one: str, other: str) -> None:
    vocabulary[one], vocabulary[other] = vocabulary[other], vocabulary[one]


def of_vocabulary(change_it: Callable[[dict[str, int]], object]) -> Callable[[Path], None]:
    return lambda f: change(f / "tokenizer.json", lambda t: change_it(t["model"]["vocab"]))


def of_generation(**values: object) -> Callable[[Path], None]:
    return lambda f: change(f / "generation_config.json", lambda g: g.update(values))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda f: (f / "tokenizer.json").unlink(), "it has none of tokenizer.json, vocab.json"),
        (lambda f: (f / "tokenizer.json").write_text('{"model": '), "tokenizer.json: Invalid JSON"),
        (
            lambda f: change(f / "tokenizer.json", lambda t: t["model"].update(type="Unigram")),
            "tokenizer.json: model: type: Input should be 'BPE'",
        ),
        (of_vocabulary(lambda v: v.pop("Ġrobots")), "378 ids .* and 377 of them have a token"),
        (of_vocabulary(lambda v: v.update(Ġmars=300)), "gives one id to two tokens"),
        (
            of_vocabulary(lambda v: swap(v, "Ġrobots", "Ġs")),
            "token ' robots' has the id 256 and is not made of two with lower ids",
        ),
        (of_vocabulary(lambda v: v.update({"▁mars": v.pop("Ġmars", v.pop("Ġwalk"))})), "alphabet"),
        (of_vocabulary(lambda v: v.update({"Ġa!": v.pop("a")})), "no token for the byte 0x61"),
        (of_generation(eos_token_id=377), r"<\|endoftext\|> has the id 378 in its tokenizer, and"),
        (of_generation(lang_to_id={"<|en|>": 379}), r"<\|en\|> has the id 380 in its tokenizer"),
        (of_generation(task_to_id={"transcribe": 379}), r"<\|transcribe\|> has the id 382"),
        (of_generation(is_multilingual=None), "has no is_multilingual; copy"),
        (
            lambda f: (f / "tokenizer.json").write_text(
                (f / "tokenizer.json").read_text().replace("<|endoftext|>", "<|end|>")
            ),
            r"no token <\|endoftext\|>; copy the tokenizer",
        ),
        (
            lambda f: change(f / "config.json", lambda c: c.update(vocab_size=537)),
            r"its token <\|3.00\|> has the id 537, beyond the model's 537",
        ),
    ],
)
def test_a_folder_that_cannot_give_right_ids_is_refused(
    folder: Path, spoil: Callable[[Path], object], reason: str
) -> None:
    spoil(folder)
    with pytest.raises(BadInput, match=reason):
        tokens_of(folder)


def test_a_folder_of_ctranslate2_alone_is_refused(folder: Path) -> None:
    as_vocabulary_txt(folder)
    (folder / "tokenizer.json").unlink()
    (folder / "model.bin").write_bytes(b"weights")
    config = RewardWhisperConfig(model=str(folder), engine="ctranslate2")
    with pytest.raises(BadInput, match=r"it has .*model.bin.*; give a folder with"):
        WhisperScorer(config)


def test_ctranslate2_gets_the_vocabulary_that_was_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    as_vocabulary_txt(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    shutil.copy(WHISPER / "model.safetensors", folder)
    heard = [
        WhisperScorer(RewardWhisperConfig(model=str(model), engine="ctranslate2")).transcribe(
            [np.zeros(16_000, np.float32)], 16_000, ["en"]
        )
        for model in (folder, WHISPER)
    ]
    assert heard[0] == heard[1]
    cache = tmp_path / "cache/ttsrl/ctranslate2"
    converted = cache / f"{CONVERSION_VERSION}-{folder_digest(folder)}"
    assert json.loads((converted / "vocabulary.json").read_text()) == in_order(WHISPER)


def test_a_text_never_becomes_a_control_token() -> None:
    tokens = tokens_of(WHISPER)
    for name in (
        "<|endoftext|>",
        "<|en|>",
        "<|1.00|>",
        "<|29.98|>",
    ):  # the last is not in the folder
        with pytest.raises(BadInput, match="spells the control token"):
            tokens.encode(f"red {name}birds")
    assert max(tokens.encode("red <|birds|> <|endoftext |>")) < tokens.end


def test_a_text_beyond_all_bounds_is_refused_and_ends_no_process() -> None:
    with pytest.raises(BadInput, match="text has 1000000 characters, more than Whisper's decoder"):
        tokens_of(WHISPER).encode(" " * 1_000_000)
