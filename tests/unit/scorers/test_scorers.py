"""Whisper and CTC scorers against transformers itself, on the tiny stack's models."""

import json
import shutil
from pathlib import Path
from typing import Any, Literal, cast

import jiwer
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoTokenizer,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForCTC,
    WhisperForConditionalGeneration,
    WhisperProcessor,
)
from transformers.models.whisper.english_normalizer import BasicTextNormalizer

from support.paths import TINY
from support.whisper_engine import features, torch_engine
from ttsrl.audio.io import resample
from ttsrl.audio.waveform import Waveform
from ttsrl.codecs.registry import load_codec
from ttsrl.config.evaluation import JudgeConfig
from ttsrl.errors import BadInput
from ttsrl.models.files import folder_digest
from ttsrl.models.hub import local_folder
from ttsrl.reward.config import WhisperConfig
from ttsrl.scorers.registry import load_judge
from ttsrl.scorers.whisper.ctranslate2_engine import WhisperCTranslate2
from ttsrl.scorers.whisper.modes import DeepUnlearning
from ttsrl.scorers.whisper.reading import ReadingJob
from ttsrl.scorers.whisper.scorer import WhisperScorer
from ttsrl.scorers.whisper.spelling import bare, respelled
from ttsrl.scorers.whisper.tokens import WhisperTokens

RATE_HZ = 16_000
NLL_BOUND = 1e-4
"""Nats a token, of NLLs near 8."""
TEXTS = [
    "one two three",
    "red birds",
    "four old dogs run home",
    "Jump!",
    "black tigers sing outside",
]
LANGUAGES = ["en"] * len(TEXTS)


@pytest.fixture(scope="module")
def spoken() -> tuple[list[str], list[Waveform]]:
    """Texts and their speech, of three lengths."""
    tokens_of = json.loads((TINY / "codec/words.json").read_text())
    texts = ["four red tigers", "black birds sing", "six dogs"]
    tokens = [[t for word in text.split() for t in tokens_of[word]] for text in texts]
    return texts, load_codec(str(TINY / "codec")).decode(tokens)


def reference_nll(folder: Path, waveform: Waveform, ids: list[int], prompt_length: int) -> float:
    """Mean NLL of ids[prompt_length:], in double precision, by transformers' own forward.

    The scorer computes in single precision, and its rounding is another on each processor: the two
    agree to NLL_BOUND.
    """
    model = WhisperForConditionalGeneration.from_pretrained(folder, dtype=torch.float64).eval()
    with torch.no_grad():
        logits = model(
            features(folder, [waveform]).double(), decoder_input_ids=torch.tensor([ids[:-1]])
        ).logits[0]
    log_p = logits.log_softmax(-1)[prompt_length - 1 :]
    return -log_p.gather(1, torch.tensor(ids[prompt_length:])[:, None]).mean().item()


@pytest.mark.parametrize("mode", ["correct", "channel-io"])
def test_nll_is_the_mean_over_text_and_end_token_under_the_full_softmax(
    odd_whisper: Path, noises: list[Waveform], mode: Literal["correct", "channel-io"]
) -> None:
    scorer = WhisperScorer(WhisperConfig(model=str(odd_whisper), mode=mode))
    raws = scorer.score(noises, RATE_HZ, TEXTS, LANGUAGES)
    vocabulary = scorer.tokens.vocabulary
    start = vocabulary["<|startoftranscript|>"]
    task = [vocabulary[t] for t in ("<|en|>", "<|transcribe|>", "<|notimestamps|>")]
    end = vocabulary["<|endoftext|>"]
    tokenizer = AutoTokenizer.from_pretrained(odd_whisper)
    for waveform, text, raw in zip(noises, TEXTS, raws, strict=True):
        spelled = f" {respelled(text, raw.transcript, 'en')}", f" {bare(text, 'en')}"
        prompt = [start, *task] if mode == "correct" else [start]
        measured, counted = (
            [*tokenizer.encode(written, add_special_tokens=False), end]
            for written in (spelled if mode == "correct" else (text, text))
        )
        mean = reference_nll(odd_whisper, waveform, [*prompt, *measured], len(prompt))
        expected = mean * len(measured) / len(counted)
        assert raw.nll == pytest.approx(expected, abs=NLL_BOUND)


@pytest.mark.parametrize("language", ["en", "de"])
def test_transcripts_are_greedy_under_the_model_s_suppression(
    odd_whisper: Path, noises: list[Waveform], language: str
) -> None:
    scorer = WhisperScorer(WhisperConfig(model=str(odd_whisper)))
    vocabulary = scorer.tokens.vocabulary
    prompt = ("<|startoftranscript|>", f"<|{language}|>", "<|transcribe|>", "<|notimestamps|>")
    generation = json.loads((odd_whisper / "generation_config.json").read_text())
    model = WhisperForConditionalGeneration.from_pretrained(odd_whisper, dtype=torch.float64).eval()
    heard = scorer.transcribe(noises, RATE_HZ, [language] * len(noises))
    for waveform, transcript in zip(noises, heard, strict=True):
        states = model.model.encoder(features(odd_whisper, [waveform]).double())
        ids = [vocabulary[token] for token in prompt]
        while len(ids) < 4 + 224:  # afresh for each token: no cache, no batch
            logits = model(encoder_outputs=states, decoder_input_ids=torch.tensor([ids])).logits
            logits[..., generation["suppress_tokens"]] = -torch.inf
            if len(ids) == 4:
                logits[..., generation["begin_suppress_tokens"]] = -torch.inf
            ids.append(logits[0, -1].argmax().item())
            if ids[-1] == generation["eos_token_id"]:
                break
        expected = AutoTokenizer.from_pretrained(odd_whisper).decode(ids, skip_special_tokens=True)
        assert transcript == str(expected).strip()


@pytest.mark.parametrize("mode", ["correct", "channel-io", "deep-unlearning"])
def test_engines_agree(
    odd_whisper: Path,
    noises: list[Waveform],
    mode: Literal["correct", "channel-io", "deep-unlearning"],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    engines = ("torch", "ctranslate2")
    ours, theirs = (
        WhisperScorer(WhisperConfig(model=str(odd_whisper), mode=mode, engine=engine)).score(
            noises, RATE_HZ, TEXTS, LANGUAGES
        )
        for engine in engines
    )
    assert [r.transcript for r in ours] == [r.transcript for r in theirs]
    assert [r.cer for r in ours] == [r.cer for r in theirs]
    assert [r.nll for r in ours] == pytest.approx([r.nll for r in theirs], abs=1e-3)
    assert len(list((tmp_path / "ttsrl/ctranslate2").iterdir())) == 1


@pytest.mark.parametrize("engine", ["torch", "ctranslate2"])
def test_a_loop_ends_at_the_cap(
    odd_whisper: Path,
    noises: list[Waveform],
    engine: Literal["torch", "ctranslate2"],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ttsrl.scorers.whisper.tokens.MAX_NEW_TOKENS", 12)
    scorer = WhisperScorer(WhisperConfig(model=str(odd_whisper), engine=engine))
    prompt = scorer.tokens.prompt("en")
    lengths = [
        len(r.written) for _, r in scorer.engine.read([ReadingJob(w, prompt) for w in noises])
    ]
    assert max(lengths) == 12
    assert lengths.count(12) > 1


@pytest.mark.parametrize("engine", ["torch", "ctranslate2"])
def test_a_text_that_was_heard_is_not_decoded_again(
    spoken: tuple[list[str], list[Waveform]],
    engine: Literal["torch", "ctranslate2"],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    texts, speech = spoken
    scorer = WhisperScorer(WhisperConfig(model=str(TINY / "whisper"), engine=engine))
    decoded = []
    if engine == "torch":
        pool = torch_engine(scorer).pool
        launch = pool.launch
        monkeypatch.setattr(
            pool, "launch", lambda guesses: decoded.append(len(guesses)) or launch(guesses)
        )
    else:
        ct2 = scorer.engine
        assert isinstance(ct2, WhisperCTranslate2)
        greedy = ct2._greedy
        monkeypatch.setattr(
            ct2,
            "_greedy",
            lambda states, prompts: decoded.append(len(prompts)) or greedy(states, prompts),
        )
    raws = scorer.score(speech, RATE_HZ, texts, ["en"] * 3)
    assert [(raw.transcript, raw.cer) for raw in raws] == [(text, 0) for text in texts]
    assert not decoded
    wrong = ["four red tigers run", texts[1], "six"]
    raws = scorer.score(speech, RATE_HZ, wrong, ["en"] * 3)
    assert decoded and decoded[0] <= 2
    assert [raw.transcript for raw in raws] == scorer.transcribe(speech, RATE_HZ, ["en"] * 3)


@pytest.mark.parametrize("batch_size", [1, 2, 5])
@pytest.mark.parametrize("engine", ["torch", "ctranslate2"])
def test_scores_do_not_depend_on_the_batch(
    odd_whisper: Path,
    noises: list[Waveform],
    engine: Literal["torch", "ctranslate2"],
    batch_size: int,
) -> None:
    config = WhisperConfig(model=str(odd_whisper), engine=engine)
    alone = WhisperScorer(config, batch_size=1).score(noises, RATE_HZ, TEXTS, LANGUAGES)
    order = [3, 0, 4, 2, 1]
    scorer = WhisperScorer(config, batch_size=batch_size)
    shuffled = scorer.score(
        [noises[n] for n in order], RATE_HZ, [TEXTS[n] for n in order], LANGUAGES
    )
    for n, raw in zip(order, shuffled, strict=True):
        assert (raw.transcript, raw.cer) == (alone[n].transcript, alone[n].cer)
        assert raw.nll == pytest.approx(alone[n].nll, abs=1e-5)


def test_batches_of_one_shape_are_bit_identical(odd_whisper: Path, noises: list[Waveform]) -> None:
    scorer = WhisperScorer(WhisperConfig(model=str(odd_whisper)))
    first = scorer.score(noises, RATE_HZ, TEXTS, LANGUAGES)
    assert scorer.score(noises, RATE_HZ, TEXTS, LANGUAGES) == first
    backwards = scorer.score(noises[::-1], RATE_HZ, TEXTS[::-1], LANGUAGES)
    assert backwards[::-1] == first


def test_channel_io_neither_normalises_nor_is_told_the_language(
    odd_whisper: Path, noises: list[Waveform]
) -> None:
    scorer = WhisperScorer(WhisperConfig(model=str(odd_whisper), mode="channel-io"))
    raws = scorer.score(noises, RATE_HZ, TEXTS, LANGUAGES)
    assert [raw.cer for raw in raws] == [
        jiwer.cer(text, raw.transcript) for text, raw in zip(TEXTS, raws, strict=True)
    ]
    assert scorer.score(noises, RATE_HZ, TEXTS, ["de"] * 5) == raws
    told = WhisperScorer(WhisperConfig(model=str(odd_whisper)))
    network, forcing = torch_engine(scorer).network, torch_engine(scorer).forcing
    with torch.inference_mode():
        audio = network.new_cache(len(noises), network.positions)
        network.project(network.encode(features(odd_whisper, noises)), audio)
        detected = forcing.languages(audio)
    tokenizer = AutoTokenizer.from_pretrained(odd_whisper)
    names = [str(tokenizer.convert_ids_to_tokens(n)).strip("<|>") for n in detected]
    assert told.transcribe(noises, RATE_HZ, names) == [raw.transcript for raw in raws]


@pytest.mark.parametrize("engine", ["torch", "ctranslate2"])
def test_deep_unlearning_gives_transformers_own_loss_and_its_normaliser_s_wer(
    odd_whisper: Path, noises: list[Waveform], engine: Literal["torch", "ctranslate2"]
) -> None:
    texts = ["One two, three.", "RED birds (loudly)", "four old dogs", "Jump!", "a [noise] b"]
    config = WhisperConfig(model=str(odd_whisper), mode="deep-unlearning", engine=engine)
    raws = WhisperScorer(config).score(noises, RATE_HZ, texts, LANGUAGES)

    # reward_whisper.py of Deep-unlearning/Llasa-GRPO, in double precision.
    processor = WhisperProcessor.from_pretrained(odd_whisper)
    model = WhisperForConditionalGeneration.from_pretrained(odd_whisper, dtype=torch.float64).eval()
    normalise = BasicTextNormalizer()
    start = processor.tokenizer.convert_tokens_to_ids("<|startoftranscript|>")
    for waveform, text, raw in zip(noises, texts, raws, strict=True):
        given = processor(
            audio=waveform, text=normalise(text), sampling_rate=RATE_HZ, return_tensors="pt"
        )
        assert given.labels[0, 0] == start == model.config.decoder_start_token_id  # doubled
        with torch.no_grad():
            loss = model(given.input_features.double(), labels=given.labels).loss
        assert raw.nll == pytest.approx(loss.item(), abs=NLL_BOUND)
        assert raw.wer == jiwer.wer(normalise(text), normalise(raw.transcript))
    told = WhisperScorer(WhisperConfig(model=str(odd_whisper)))
    assert told.transcribe(noises, RATE_HZ, LANGUAGES) == [raw.transcript for raw in raws]


@pytest.mark.parametrize(
    ("text", "heard", "wer"),
    [
        ("(laughs)", "", 0.0),
        ("(laughs)", "ha", 1.0),
        ("(laughs)", "(ha)", 0.0),
        ("Red birds.", "", 1.0),
        ("Red birds.", "RED   birds!", 0.0),
        ("Red birds.", "red dogs sing", 1.0),
        ("it's", "it s", 0.0),
    ],
)
def test_deep_unlearning_compares_what_its_normaliser_leaves(
    text: str, heard: str, wer: float
) -> None:
    no_tokens = cast(WhisperTokens, None)  # error rates need none
    assert DeepUnlearning(no_tokens, []).error_rates(text, heard, "en")[1] == wer


@pytest.mark.parametrize("mode", ["correct", "channel-io", "deep-unlearning"])
def test_an_empty_transcript_is_wholly_wrong(
    odd_whisper: Path,
    noises: list[Waveform],
    mode: Literal["correct", "channel-io", "deep-unlearning"],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scorer = WhisperScorer(WhisperConfig(model=str(odd_whisper), mode=mode))
    monkeypatch.setattr(scorer.tokens, "decode", lambda ids: "")
    raws = scorer.score(noises, RATE_HZ, TEXTS, LANGUAGES)
    assert [(raw.transcript, raw.cer, raw.wer) for raw in raws] == [("", 1.0, 1.0)] * 5


@pytest.mark.parametrize(
    ("text", "language", "message"),
    [
        ("one <|endoftext|> two", "en", "control token"),
        ("one", "xx", "'xx' is not supported"),
        ("one", "ja", r"does not know the language 'ja' \(Japanese\)"),
        ("!?" * 300, "en", "601 Whisper tokens, more than the 444"),
        ("...", "en", "nothing of text '...' can be heard"),
    ],
)
def test_what_whisper_cannot_measure_is_refused(
    noises: list[Waveform], text: str, language: str, message: str
) -> None:
    scorer = WhisperScorer(WhisperConfig(model=str(TINY / "whisper")))
    with pytest.raises(BadInput, match=message):
        scorer.score(noises[:1], RATE_HZ, [text], [language])


@pytest.mark.parametrize("mode", ["correct", "channel-io", "deep-unlearning"])
def test_a_text_may_fill_the_decoder_and_no_more(
    noises: list[Waveform], mode: Literal["correct", "channel-io", "deep-unlearning"]
) -> None:
    scorer = WhisperScorer(WhisperConfig(model=str(TINY / "whisper"), mode=mode))
    texts = ("q" * length for length in range(100, 1000))
    fits = ""
    with pytest.raises(BadInput, match="more than the 444 that its decoder holds"):
        for text in texts:
            scorer.mode.target(text, "en")
            fits = text
    (raw,) = scorer.score(noises[:1], RATE_HZ, [fits], ["en"])
    assert np.isfinite(raw.nll)


def test_an_english_whisper_takes_english_only(
    odd_whisper: Path, noises: list[Waveform], tmp_path: Path
) -> None:
    shutil.copytree(odd_whisper, tmp_path, dirs_exist_ok=True)
    generation = json.loads((tmp_path / "generation_config.json").read_text())
    (tmp_path / "generation_config.json").write_text(
        json.dumps(generation | {"is_multilingual": False})
    )
    scorer = WhisperScorer(WhisperConfig(model=str(tmp_path)))
    vocabulary = scorer.tokens.vocabulary
    prompt = [vocabulary[t] for t in ("<|startoftranscript|>", "<|notimestamps|>")]
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    ids = tokenizer.encode(f" {TEXTS[0]}", add_special_tokens=False)
    raw = scorer.score(noises[:1], RATE_HZ, TEXTS[:1], ["en"])[0]
    expected = reference_nll(tmp_path, noises[0], [*prompt, *ids, scorer.tokens.end], 2)
    assert raw.nll == pytest.approx(expected, abs=NLL_BOUND)
    with pytest.raises(BadInput, match=r"'de', but the Whisper at .* is English-only"):
        scorer.score(noises[:1], RATE_HZ, TEXTS[:1], ["de"])


def test_audio_beyond_the_window_is_an_error_and_never_cut(noises: list[Waveform]) -> None:
    scorer = WhisperScorer(WhisperConfig(model=str(TINY / "whisper")))
    assert scorer.max_duration_s == 3
    with pytest.raises(ValueError, match=r"3\.00 s is longer than Whisper's window of 3 s"):
        scorer.transcribe([np.zeros(48_001, np.float32)], RATE_HZ, ["en"])


def test_other_sample_rates_are_resampled() -> None:
    t_s = np.arange(24_000) / 24_000
    out = resample(np.sin(2 * np.pi * 440 * t_s).astype(np.float32), 24_000, RATE_HZ)
    expected = np.sin(2 * np.pi * 440 * np.arange(16_000) / RATE_HZ)
    assert len(out) == 16_000
    assert np.abs(out - expected)[200:-200].max() < 1e-3


def test_ctc_hears_the_same_alone_and_in_a_batch(
    spoken: tuple[list[str], list[Waveform]], noises: list[Waveform]
) -> None:
    texts, speech = spoken
    cut = [waveform[: len(speech[-1])] for waveform in speech]  # of one length: they share a batch
    judge = load_judge(JudgeConfig(name="judge", type="ctc", model=str(TINY / "judge")))
    assert judge.transcribe(speech, RATE_HZ, ["en"] * 3) == texts
    waveforms = [*speech, *cut, *noises]
    together = judge.transcribe(waveforms, RATE_HZ, ["en"] * len(waveforms))
    assert together == [judge.transcribe([w], RATE_HZ, ["en"])[0] for w in waveforms]


def test_a_model_that_hears_padding_never_gets_any(noises: list[Waveform], tmp_path: Path) -> None:
    shutil.copy(TINY / "judge/vocab.json", tmp_path)
    shutil.copy(TINY / "judge/tokenizer_config.json", tmp_path)
    sizes: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = Wav2Vec2Config(vocab_size=29, pad_token_id=0, intermediate_size=32, **sizes)
    assert (
        config.feat_extract_norm == "group"
    )  # over time, padding included, as in wav2vec 2.0 base
    torch.manual_seed(0)
    Wav2Vec2ForCTC(config).save_pretrained(tmp_path)
    Wav2Vec2FeatureExtractor().save_pretrained(tmp_path)
    judge = load_judge(JudgeConfig(name="judge", type="ctc", model=str(tmp_path)))
    together = judge.transcribe(noises, RATE_HZ, LANGUAGES)
    assert together == [judge.transcribe([w], RATE_HZ, ["en"])[0] for w in noises]
    assert len(set(together)) > 1


def test_a_whisper_judge_gives_transcripts(odd_whisper: Path, noises: list[Waveform]) -> None:
    judge = load_judge(JudgeConfig(name="judge", type="whisper", model=str(odd_whisper)))
    scorer = WhisperScorer(WhisperConfig(model=str(odd_whisper)))
    raws = scorer.score(noises, RATE_HZ, TEXTS, LANGUAGES)
    assert judge.transcribe(noises, RATE_HZ, LANGUAGES) == [raw.transcript for raw in raws]


def test_a_model_that_is_nowhere_is_named() -> None:
    with pytest.raises(BadInput, match=r"no model at './nowhere'; give a folder"):
        local_folder("./nowhere")


@pytest.mark.parametrize(
    ("kind", "folder", "message"),
    [
        ("whisper", "judge", "cannot be loaded: Unrecognized configuration class"),
        ("ctc", "policy", "cannot be loaded: Unrecognized configuration class"),
    ],
)
def test_a_model_of_another_kind_is_refused(
    kind: Literal["whisper", "ctc"], folder: str, message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        load_judge(JudgeConfig(name="judge", type=kind, model=str(TINY / folder)))


def test_a_recogniser_without_its_head_or_with_broken_weights_is_refused(tmp_path: Path) -> None:
    shutil.copytree(TINY / "judge", tmp_path, dirs_exist_ok=True)
    weights = load_file(tmp_path / "model.safetensors")
    config = JudgeConfig(name="judge", type="ctc", model=str(tmp_path))
    head = weights.pop("lm_head.weight")
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(BadInput, match=r"lacks 1 weights .* first lm_head\.weight"):
        load_judge(config)
    save_file(
        weights | {"lm_head.weight": head * torch.nan},
        tmp_path / "model.safetensors",
        {"format": "pt"},
    )
    with pytest.raises(BadInput, match=r"not finite, first in lm_head\.weight"):
        load_judge(config)


def test_a_folder_s_digest_follows_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"1")
    (tmp_path / ".cache").mkdir()
    digests = {folder_digest(tmp_path)}
    (tmp_path / ".cache/lock").write_bytes(b"x")
    assert folder_digest(tmp_path) in digests
    (tmp_path / "a.bin").write_bytes(b"2")
    digests.add(folder_digest(tmp_path))
    (tmp_path / "a.bin").rename(tmp_path / "b.bin")
    digests.add(folder_digest(tmp_path))
    assert len(digests) == 3
