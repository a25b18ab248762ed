"""The example voice: its texts, its tokenizer, its training's data."""

from __future__ import annotations

import json

import numpy as np
import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from examples.voice.batches import IGNORED, Batches, Prompts
from examples.voice.corpus import HELD_OUT_FRACTION, TEXTS, held_out_texts, training_texts
from examples.voice.flaws import OTHER, flawed
from examples.voice.texts.build import SHARED, shingles
from examples.voice.texts.cleaning import cleaned, words_of
from examples.voice.tokenizer import new_tokenizer
from support.paths import ROOT
from ttsrl.config.load import load_run
from ttsrl.data.split import is_held_out
from ttsrl.families.llasa import Llasa

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
