"""No speech, language, spelling and loops with Whisper's real weights and a person's speech."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
import whisper
from whisper.decoding import DecodingOptions

from support.real_whisper.openai import openai_whisper
from support.speech import RATE_HZ, SpokenClip
from ttsrl.audio.waveform import Waveform
from ttsrl.errors import BadInput
from ttsrl.reward.config import WhisperConfig
from ttsrl.scorers.base import Raw
from ttsrl.scorers.whisper.scorer import WhisperScorer

BOUND = 1e-4
"""Of probabilities."""
SPELLED = {
    "austen-0870": (
        "And Mr. John Dashwood had then leisure to consider how much there might be prudently in "
        "his power to do for them."
    ),
    "austen-0880": "He was not an ill-disposed young man.",
    "austen-0890": "Unless to be rather cold-hearted and rather selfish is to be ill-disposed.",
    "austen-0920": (
        "Had he married a more amiable woman, he might have been made still more respectable than "
        "he was."
    ),
    "austen-0930": "He might even have been made amiable himself.",
}
"""The texts of the clips as a careful writer would type them."""
LOOPS = "austen-0880"
"""The clip at which Whisper base goes wrong in a window that ends with the speech: cut to whole
seconds it repeated itself without end, at a CER of 18.8."""


def score(
    scorer: WhisperScorer, waveforms: Sequence[Waveform], texts: Sequence[str], language: str = "en"
) -> list[Raw]:
    return scorer.score(waveforms, RATE_HZ, texts, [language] * len(texts))


def sounds(clips: Sequence[SpokenClip]) -> list[tuple[Waveform, str]]:
    """A person, two languages' voices, a hum and silence."""
    hum = np.sin(2 * np.pi * 50 * np.arange(3 * RATE_HZ) / RATE_HZ).astype(np.float32)
    voices = {clip.language: clip for clip in clips}
    spoken = [clips[0], voices["de"], voices["fr"]]
    return [
        *((clip.waveform, clip.language) for clip in spoken),
        (0.3 * hum, "en"),
        (np.zeros(2 * RATE_HZ, np.float32), "en"),
    ]


@dataclass(frozen=True)
class Heard:
    """What openai-whisper makes of each sound."""

    model: Path
    sounds: list[tuple[Waveform, str]]
    no_speech: list[float]
    languages: list[dict[str, float]]
    """Empty for a model that knows English alone."""


@pytest.fixture(scope="module", params=["whisper_base", "whisper_tiny_en"])
@torch.no_grad()
def heard_by_theirs(
    request: pytest.FixtureRequest, librivox: list[SpokenClip], synthetic: list[SpokenClip]
) -> Heard:
    folder: Path = request.getfixturevalue(request.param)
    theirs = openai_whisper(folder)
    every = sounds(librivox + synthetic)
    heard = Heard(folder, [s for s in every if theirs.is_multilingual or s[1] == "en"], [], [])
    for waveform, language in heard.sounds:
        mel = whisper.log_mel_spectrogram(whisper.pad_or_trim(torch.from_numpy(waveform)))
        states = theirs.embed_audio(mel[None])
        options = DecodingOptions(
            language=language, sample_len=1, fp16=False, without_timestamps=True
        )
        results = whisper.decode(theirs, states, options)
        assert isinstance(results, list)
        heard.no_speech.append(results[0].no_speech_prob)
        if theirs.is_multilingual:
            [languages] = whisper.detect_language(theirs, states)[1]
            heard.languages.append(languages)
        else:
            heard.languages.append({})
    return heard


@pytest.mark.parametrize("engine", ["torch", "ctranslate2"])
def test_no_speech_and_languages_are_openai_whisper_s(
    engine: Literal["torch", "ctranslate2"], heard_by_theirs: Heard
) -> None:
    waveforms = [waveform for waveform, _ in heard_by_theirs.sounds]
    languages = [language for _, language in heard_by_theirs.sounds]
    config = WhisperConfig(model=str(heard_by_theirs.model), engine=engine, rows=5)
    raws = WhisperScorer(config).score(waveforms, RATE_HZ, ["yes"] * len(waveforms), languages)
    assert [raw.no_speech for raw in raws] == pytest.approx(heard_by_theirs.no_speech, abs=BOUND)
    for raw, expected in zip(raws, heard_by_theirs.languages, strict=True):
        assert raw.languages == pytest.approx(expected, abs=BOUND)


def test_the_language_component_refuses_an_english_only_model(whisper_tiny_en: Path) -> None:
    with pytest.raises(BadInput, match="English-only; use a multilingual one"):
        WhisperScorer(WhisperConfig(model=str(whisper_tiny_en))).check_languages(None)


def noisy(waveform: Waveform, db: float) -> Waveform:
    """With white noise so far below the speech."""
    noise = np.random.default_rng(0).standard_normal(len(waveform))
    level = np.sqrt(np.mean(waveform**2) / np.mean(noise**2)) * 10 ** (-db / 20)
    return (waveform + level * noise).astype(np.float32)


SPOILED: dict[str, Callable[[Waveform], Waveform]] = {
    "clean": lambda waveform: waveform,
    "noisy": lambda waveform: noisy(waveform, 5),
    "cut": lambda waveform: waveform[: len(waveform) // 2],
}


@pytest.fixture(scope="module")
def as_read(base_scorer: WhisperScorer, librivox: list[SpokenClip]) -> dict[str, Raw]:
    """What each clip measures with its own text in lower case."""
    raws = score(base_scorer, [c.waveform for c in librivox], [c.text for c in librivox])
    return {clip.name: raw for clip, raw in zip(librivox, raws, strict=True)}


def test_a_person_s_sentences_are_heard_as_read(as_read: dict[str, Raw]) -> None:
    assert {name: raw.transcript for name, raw in as_read.items() if raw.cer} == {}
    assert max(raw.nll for raw in as_read.values()) < 0.3


@pytest.mark.parametrize("way", SPOILED)
def test_how_a_text_is_typed_does_not_matter(
    way: str, base_scorer: WhisperScorer, librivox: list[SpokenClip], as_read: dict[str, Raw]
) -> None:
    for clip in librivox if way == "clean" else librivox[:3:2]:
        typed = [clip.text.upper(), SPELLED[clip.name]]
        if way != "clean":
            typed.append(clip.text)
        raws = score(base_scorer, [SPOILED[way](clip.waveform)] * len(typed), typed)
        if way == "clean":
            raws.append(as_read[clip.name])
        nlls = [raw.nll for raw in raws]
        print(f"{way} {clip.name} CER {raws[-1].cer:.2f} NLLs {nlls}")
        utilities = [math.exp(-nll / 3) for nll in nlls]
        assert max(utilities) - min(utilities) < 0.02, (clip.name, utilities)


@pytest.mark.parametrize("way", ["one word more", "another word", "a word unsaid"])
def test_a_word_that_was_not_said_is_never_cheap(
    way: str, base_scorer: WhisperScorer, librivox: list[SpokenClip], as_read: dict[str, Raw]
) -> None:
    clips = librivox[:2]
    waveforms = [clip.waveform for clip in clips]
    texts = [clip.text for clip in clips]
    if way == "a word unsaid":
        waveforms = [waveform[: -int(0.7 * RATE_HZ)] for waveform in waveforms]
    else:
        texts = [with_garden(text, instead=way == "another word") for text in texts]
    for clip, raw in zip(clips, score(base_scorer, waveforms, texts), strict=True):
        assert raw.nll > 2 * as_read[clip.name].nll, clip.name


def with_garden(text: str, instead: bool) -> str:
    """With one word more in the middle, or another one there."""
    words = text.split()
    middle = len(words) // 2
    words[middle : middle + instead] = ["garden"]
    return " ".join(words)


def test_speech_is_heard_with_the_silence_that_fills_its_window(
    whisper_base: Path, librivox: list[SpokenClip], as_read: dict[str, Raw]
) -> None:
    clip = next(clip for clip in librivox if clip.name == LOOPS)
    mel = whisper.log_mel_spectrogram(whisper.pad_or_trim(torch.from_numpy(clip.waveform)))
    options = DecodingOptions(language="en", fp16=False, without_timestamps=True)
    expected = whisper.decode(openai_whisper(whisper_base), mel, options)
    assert not isinstance(expected, list)
    assert as_read[LOOPS].transcript.strip() == expected.text
    assert as_read[LOOPS].cer == 0
