import itertools
import json
import random
import shutil
from typing import Any

import numpy as np
import pytest
from transformers import (
    AutoFeatureExtractor,
    AutoModelForCausalLM,
    AutoModelForCTC,
    AutoProcessor,
    AutoTokenizer,
    LlamaForCausalLM,
    Wav2Vec2BertForCTC,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperProcessor,
    WhisperTokenizer,
)

from examples.tiny.clips import plan
from examples.tiny.corpus import SAID_INSTEAD, corpus
from examples.tiny.domain import (
    HELD_OUT_FRACTION,
    HERE,
    MIN_WORDS,
    WORDS,
    held_out,
    read_texts,
    trainable,
)
from examples.tiny.speech import policy_recordings
from examples.tiny.word_tokens import say, word_tokens
from ttsrl.codecs.registry import load_codec
from ttsrl.codecs.tiny import TinyCodec
from ttsrl.config.evaluation import JudgeConfig
from ttsrl.config.schema import RunConfig
from ttsrl.families.llasa import CHAT_TEMPLATE, SPEECH_END, Llasa
from ttsrl.scorers.registry import load_judge
from ttsrl.text.normalise import cer, normalise

FOLDERS = ["policy", "codec", "whisper", "judge"]


@pytest.fixture(scope="module")
def run() -> RunConfig:
    return RunConfig.model_validate(json.loads((HERE / "run.json").read_text()))


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return read_texts()


def test_the_stack_is_small_and_each_folder_has_its_card() -> None:
    files = [path for name in FOLDERS for path in (HERE / name).rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 20e6
    assert not {path.suffix for path in files} & {".bin", ".pt", ".pkl"}
    for name in FOLDERS:
        assert "Apache-2.0" in (HERE / name / "README.md").read_text()


def test_the_policy_is_a_llasa(run: RunConfig, texts: list[str]) -> None:
    model = AutoModelForCausalLM.from_pretrained(HERE / "policy", dtype="float32")
    assert isinstance(model, LlamaForCausalLM)
    tokenizer = AutoTokenizer.from_pretrained(HERE / "policy")
    family = Llasa(tokenizer, load_codec(str(HERE / "codec")).codebook_size)
    end = tokenizer.convert_tokens_to_ids(SPEECH_END)
    assert family.stop_token_ids == [end]
    assert tokenizer.eos_token_id == model.generation_config.eos_token_id == end
    assert tokenizer.pad_token_id == model.generation_config.pad_token_id != end
    assert tokenizer.chat_template == CHAT_TEMPLATE
    assert len(tokenizer) == model.config.vocab_size
    assert max(len(family.prompt_ids(text)) for text in texts) <= run.rollout.max_prompt_tokens
    assert len(family.prompt_ids("red birds sing")) == len(family.prompt_ids("two red birds")) == 24


def test_prompts_survive_the_tokenizer() -> None:
    tokenizer = AutoTokenizer.from_pretrained(HERE / "policy")
    family = Llasa(tokenizer)
    for text in ("two red birds", "an unknown word, 1984 & déjà vu"):
        rendered = tokenizer.apply_chat_template(
            family.messages(text), tokenize=False, add_generation_prompt=True
        )
        assert tokenizer.decode(family.prompt_ids(text)) == rendered


def test_whisper_is_multilingual_with_a_window_of_three_seconds() -> None:
    model = WhisperForConditionalGeneration.from_pretrained(HERE / "whisper", dtype="float32")
    processor = AutoProcessor.from_pretrained(HERE / "whisper")
    assert isinstance(processor, WhisperProcessor)
    tokenizer = AutoTokenizer.from_pretrained(HERE / "whisper", language="en", task="transcribe")
    assert isinstance(tokenizer, WhisperTokenizer)
    extractor = AutoFeatureExtractor.from_pretrained(HERE / "whisper")
    assert isinstance(extractor, WhisperFeatureExtractor)
    features = extractor(np.zeros(16_000, np.float32), sampling_rate=16_000, return_tensors="pt")
    assert features.input_features.shape == (1, 80, 300)
    assert model.config.max_source_positions == 150
    settings: Any = model.generation_config  # Whisper's own fields among them
    assert settings.is_multilingual
    prefix = tokenizer.convert_ids_to_tokens(tokenizer("").input_ids)
    assert prefix == [
        "<|startoftranscript|>",
        "<|en|>",
        "<|transcribe|>",
        "<|notimestamps|>",
        "<|endoftext|>",
    ]
    ids = tokenizer("").input_ids
    assert settings.decoder_start_token_id == ids[0]
    assert settings.lang_to_id == {"<|en|>": ids[1]}
    assert settings.task_to_id["transcribe"] == ids[2]
    assert settings.no_timestamps_token_id == ids[3]
    assert not settings.suppress_tokens
    assert all(len(tokenizer(f" {word}").input_ids) == len(ids) + 1 for word in WORDS)


def test_the_judge_is_a_ctc_model() -> None:
    model = AutoModelForCTC.from_pretrained(HERE / "judge", dtype="float32")
    assert isinstance(model, Wav2Vec2BertForCTC)
    processor = AutoProcessor.from_pretrained(HERE / "judge")
    ids = processor.tokenizer("old birds").input_ids
    assert processor.tokenizer.decode(ids, group_tokens=False) == "old birds"
    assert len(processor.tokenizer) == model.config.vocab_size


@pytest.mark.parametrize("kind, folder", [("ctc", "judge"), ("whisper", "whisper")])
def test_both_recognisers_understand_words_said_right(
    kind: str, folder: str, texts: list[str]
) -> None:
    recogniser = load_judge(
        JudgeConfig.model_validate({"name": folder, "type": kind, "model": str(HERE / folder)})
    )
    wanted = [text for text in texts if held_out(text.split())][:100]
    waveforms = load_codec(str(HERE / "codec")).decode([say(text.split()) for text in wanted])
    heard = recogniser.transcribe(waveforms, 16_000, ["en"] * len(wanted))
    assert np.mean([cer(a, b, "en") for a, b in zip(wanted, heard, strict=True)]) <= 0.02


def test_the_texts_split_as_the_run_says(run: RunConfig, texts: list[str]) -> None:
    assert (run.data.held_out_fraction, run.data.split_key) == (HELD_OUT_FRACTION, "words")
    held = [text for text in texts if held_out(text.split())]
    assert len(held) >= 300
    assert len(texts) - len(held) >= 3_000
    assert len(set(texts)) == len(texts)
    assert all(normalise(text, "en") == text for text in texts)


def test_every_text_can_be_said_within_the_rollout_and_whispers_window(
    run: RunConfig, texts: list[str]
) -> None:
    longest = max(len(say(text.split())) for text in texts) + 1
    assert longest <= run.rollout.max_speech_tokens
    assert run.rollout.max_speech_tokens * 0.08 <= 3.0


def test_no_held_out_text_is_trained_on(texts: list[str]) -> None:
    held = [text.split() for text in texts if held_out(text.split())]
    for words in held[:50]:
        assert not trainable(words)
        assert not trainable(words[::-1])  # the same words in another order
        assert not any(trainable([word, *words]) or trainable([*words, word]) for word in WORDS)
    held_texts = {" ".join(words) for words in held}

    def is_clean(words: list[str]) -> bool:
        pairs = itertools.combinations(range(len(words) + 1), 2)
        runs = {" ".join(words[i:j]) for i, j in pairs if j - i >= MIN_WORDS}
        return not held_out(words) and not runs & held_texts

    rng = random.Random(5)
    assert all(is_clean(text.split()) or held_out(text.split()) for text in texts)
    for recording in corpus(500, rng):
        assert is_clean(recording.text.split())
        assert is_clean(recording.said)
    for _ in range(500):
        assert is_clean([part.word for part in plan(rng) if part.word and part.heard])


def test_the_corpus_keeps_the_right_word_findable() -> None:
    recordings = corpus(3_000, random.Random(6))
    same_length = [r for r in recordings if len(r.said) == len(r.text.split())]
    said = [
        (a, b)
        for r in same_length
        for a, b in zip(r.text.split(), r.said, strict=True)
        if a in SAID_INSTEAD
    ]
    right = np.mean([a == b for a, b in said])
    instead = np.mean([SAID_INSTEAD[a] == b for a, b in said])
    assert 0.25 < right < instead < 0.75


@pytest.mark.skipif(shutil.which("flite") is None, reason="no voice: apt-get install flite")
def test_recordings_encode_to_the_words_tokens() -> None:
    codec = load_codec(str(HERE / "codec"))
    assert isinstance(codec, TinyCodec)
    recordings = policy_recordings()
    assert all(codec.encode([recordings[word]]) == [word_tokens()[word]] for word in WORDS)
    joined = np.concatenate([recordings["old"], recordings["birds"], recordings["sing"]])
    assert codec.encode([joined]) == [say(["old", "birds", "sing"])[:-1]]
