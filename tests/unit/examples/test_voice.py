"""The example voice: its texts, its tokenizer, its training's data."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
from numpy.typing import NDArray
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from examples.voice import encode as encoding
from examples.voice import synthesise
from examples.voice.batches import IGNORED, Batches, Prompts
from examples.voice.corpus import (
    HELD_OUT_FRACTION,
    SHARD,
    TEXTS,
    held_out_texts,
    read_shard,
    training_texts,
    write_shard,
)
from examples.voice.flaws import OTHER, flawed
from examples.voice.stage import Budget
from examples.voice.texts.build import SHARED, shingles
from examples.voice.texts.cleaning import cleaned, words_of
from examples.voice.tokenizer import new_tokenizer
from support.paths import ROOT
from ttsrl.codecs.mel_network import MelCodecConfig, MelCodecModel
from ttsrl.config.load import load_run
from ttsrl.data.split import is_held_out
from ttsrl.families.llasa import Llasa
from ttsrl.synthesis.synthesiser import Synthesiser

CODES = 16


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerFast:
    folder = tmp_path_factory.mktemp("tokenizer")
    new_tokenizer(CODES).save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder)


def read(name: str) -> list[str]:
    return [json.loads(line)["text"] for line in (TEXTS / name).read_text().splitlines()]


def test_no_training_of_any_stage_has_read_five_words_of_a_text_that_is_judged() -> None:
    judged = held_out_texts() + read("common_voice.jsonl")
    assert len(judged) > 600
    parts = set[str]().union(*(shingles(text) for text in judged))
    held = set(held_out_texts())
    trained = training_texts() + [text for text in read("prompts.jsonl") if text not in held]
    assert len(trained) > 150_000
    assert not [text for text in trained if not parts.isdisjoint(shingles(text))][:3]


def test_the_run_holds_out_what_the_stages_hold_out() -> None:
    run = load_run(ROOT / "examples" / "voice" / "run.json", [])
    assert run.data.held_out_fraction == HELD_OUT_FRACTION
    by = run.data.split_key
    split = [t for t in read("prompts.jsonl") if is_held_out(t, run.data.held_out_fraction, by)]
    assert split == held_out_texts()
    assert set(split).isdisjoint(training_texts())


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("the cat -- a big one -- sat", "The cat, a big one, sat."),
        ('`Well,\' he said; "no!"', "Well, he said, no."),
        ("open-minded people (all of them) agree", "Open minded people agree."),
        ("it cost 3 dollars today", None),
        ("the U.S. army won", None),
        ("too short", None),
    ],
)
def test_what_a_source_has_becomes_a_sentence_or_nothing(text: str, sentence: str | None) -> None:
    assert cleaned(text) == sentence


def test_five_consecutive_words_are_a_shingle_and_a_short_text_is_one() -> None:
    assert SHARED == 5
    assert shingles("One, two three four five six.") == {
        "one two three four five",
        "two three four five six",
    }
    assert shingles("Only two.") == {"only two"}


def test_a_prompt_has_llasa_s_markers_and_a_token_per_character(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    prompt = Llasa(tokenizer, CODES).prompt_ids("Hi, system.")
    assert tokenizer.convert_ids_to_tokens(prompt) == [
        "<|begin_of_text|>", "<|start_header_id|>", "system", "<|end_header_id|>", "ĊĊ",
        "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024", "ĊĊ", "<|eot_id|>",
        "<|start_header_id|>", "user", "<|end_header_id|>", "ĊĊ", "Convert the text to speech:",
        "<|TEXT_UNDERSTANDING_START|>", *"hi,Ġsystem.", "<|TEXT_UNDERSTANDING_END|>", "<|eot_id|>",
        "<|start_header_id|>", "assistant", "<|end_header_id|>", "ĊĊ",
        "<|SPEECH_GENERATION_START|>",
    ]  # fmt: skip


def test_what_is_said_alike_is_read_alike(tokenizer: PreTrainedTokenizerFast) -> None:
    prompts = Prompts(tokenizer, CODES)
    odd = "\u201cDon\u2019t!\u201d A well-known man \u2014 yes; no..."
    assert prompts.of([odd]) == prompts.of(["don't. a well known man, yes, no,"])


def test_thousands_of_prompts_are_the_family_s(tokenizer: PreTrainedTokenizerFast) -> None:
    texts = ["Is it?", "System of a down.", "User, it's time."]
    family = Llasa(tokenizer, CODES)
    assert Prompts(tokenizer, CODES).of(texts) == [family.prompt_ids(text) for text in texts]


def test_a_batch_asks_for_the_speech_and_its_end_alone(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    prompts = Prompts(tokenizer, CODES)
    speech = [np.array([3, 1], np.int16), np.array([2, 2, 5, 0], np.int16)]
    batches = Batches(prompts, budget=4_096)
    batches.add(["Ab.", "C."], speech)
    ids, targets = batches.batch(np.arange(2))
    for row, (text, tokens) in enumerate(zip(["Ab.", "C."], speech, strict=True)):
        head = prompts.of([text])[0]
        tail = [prompts.first_speech + int(token) for token in tokens] + [prompts.end]
        assert ids[row, : len(head) + len(tail)].tolist() == head + tail
        rest = targets.shape[1] - len(head) - len(tail)
        assert targets[row].tolist() == [IGNORED] * len(head) + tail + [IGNORED] * rest


def test_every_sequence_comes_once_in_an_epoch(tokenizer: PreTrainedTokenizerFast) -> None:
    batches = Batches(Prompts(tokenizer, CODES), budget=512)
    rng = np.random.default_rng(0)
    speech = [np.full(rng.integers(3, 40), n % CODES, np.int16) for n in range(50)]
    batches.add([f"{'abcde'[n % 5]}." for n in range(50)], speech)
    counts = np.zeros(CODES, int)
    for _, targets in batches.epoch():
        kept = targets[targets >= batches.prompts.first_speech] - batches.prompts.first_speech
        counts += np.bincount(kept.numpy(), minlength=CODES)[:CODES]
    wanted = np.bincount(np.concatenate(speech), minlength=CODES)
    assert counts.tolist() == wanted.tolist()


def test_a_flawed_corpus_has_wrong_words_and_cut_recordings() -> None:
    text = "He was in the house before night."
    whole = np.arange(100, dtype=np.int16)
    texts, tokens = flawed([text] * 2_000, [whole] * 2_000)
    known = {word: n for n, word in enumerate(words_of(text))}
    swaps = [words_of(t)[known["was"]] == OTHER["was"] for t in texts]
    assert np.mean(swaps) == pytest.approx(0.97 * 0.4 + 0.03 * 0, abs=0.04)
    cut = [len(one) for one in tokens if len(one) < 100]
    assert len(cut) / 2_000 == pytest.approx(0.3, abs=0.04)
    assert min(cut) >= 45
    assert max(cut) <= 90
    assert all(t.endswith("night.") or t.endswith("day.") for t in texts)


def test_the_texts_name_their_sources() -> None:
    lines = (TEXTS / "prompts.jsonl").read_text().splitlines()
    assert {json.loads(line)["label"] for line in lines} == {"wordnet", "lj_speech"}


def test_who_looks_for_shards_finds_no_half_written_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []
    whole = np.savez

    def watched(file: BinaryIO, *, allow_pickle: bool, **arrays: NDArray[np.generic]) -> None:
        whole(file, allow_pickle=allow_pickle, **arrays)
        seen.append([path.name for path in tmp_path.glob("*.npz")])

    monkeypatch.setattr(np, "savez", watched)
    write_shard(tmp_path / "00000.npz", [np.zeros(3, np.int16)], [7])
    assert seen == [[]]
    assert [path.name for path in tmp_path.iterdir()] == ["00000.npz"]
    assert read_shard(tmp_path / "00000.npz").texts.tolist() == [7]


def test_what_is_spoken_is_not_spoken_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoken: list[str] = []

    def speak(text: str) -> NDArray[np.int16]:
        spoken.append(text)
        return np.ones(4, np.int16)

    texts = [f"text {n}" for n in range(3 * SHARD)]
    monkeypatch.setattr(synthesise, "load_voice", lambda: speak)
    monkeypatch.setattr(synthesise, "training_texts", lambda: texts)
    monkeypatch.setattr(synthesise.os, "nice", lambda _: 0)
    write_shard(tmp_path / synthesise.SPEECH / "00001.npz", [np.zeros(2, np.int16)], [5])
    synthesise.speak_some(tmp_path, 0, 1, 1e9, held_out=2)
    assert spoken == held_out_texts()[:2] + texts[:SHARD] + texts[2 * SHARD :]
    spoken.clear()
    synthesise.speak_some(tmp_path, 0, 1, 1e9, held_out=2)
    assert not spoken


def test_what_is_encoded_is_not_encoded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    coded: list[int] = []

    def encode(
        _: object, recordings: list[NDArray[np.int16]], texts: list[int], shifts: int
    ) -> tuple[list[NDArray[np.int16]], list[int]]:
        coded.extend(texts)
        order = sorted(range(len(texts)), key=lambda i: len(recordings[i])) * shifts
        return [recordings[i] for i in order], [texts[i] for i in order]

    monkeypatch.setattr(encoding, "encode", encode)
    (tmp_path / synthesise.ENDED).touch()
    for shard, sizes in enumerate([(9, 1), (5, 4)]):
        recordings = [np.full(size, size, np.int16) for size in sizes]
        write_shard(
            tmp_path / synthesise.SPEECH / f"{shard:05d}.npz",
            recordings,
            [2 * shard, 2 * shard + 1],
        )
    model = MelCodecModel(MelCodecConfig(hidden_size=16))
    encoding.encode_all(tmp_path, model, 2)
    second = read_shard(tmp_path / encoding.TOKENS / "00001.npz")
    assert sorted(zip(second.texts.tolist(), map(len, second.recordings()), strict=True)) == [
        (2, 5), (2, 5), (3, 4), (3, 4),
    ]  # fmt: skip
    (tmp_path / encoding.TOKENS / "00000.npz").unlink()
    coded.clear()
    encoding.encode_all(tmp_path, model, 2)
    assert coded == [0, 1]


def test_a_training_s_clock_starts_with_its_first_step(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    budget = Budget("short", steps=1_000, seconds=45.0)
    now[0] += 60.0  # the data is read
    for _ in budget.run([], 1e-3):
        now[0] += 1.0
    assert budget.done == 45
    assert budget.elapsed_s == 45.0


def test_the_committed_voice_is_what_the_run_trains_and_speaks() -> None:
    run = load_run(ROOT / "examples" / "voice" / "run.json", [])
    voice = Synthesiser(run.model, run.codec, run.family)
    [said] = voice.synthesise(["Good morning."], temperature=0.0, seed=0, max_tokens=100)
    assert said.finished
    assert 0.5 < said.duration_s < 2.5
    assert 0.02 < np.std(said.waveform) < 0.3
    assert AutoTokenizer.from_pretrained(run.model).get_vocab() == new_tokenizer(4096).get_vocab()
