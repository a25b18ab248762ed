"""No speech, language, spelling and windows with Whisper's real weights and a person's speech."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
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
from ttsrl.scorers.whisper.reading import ReadingJob
from ttsrl.scorers.whisper.scorer import WhisperScorer

BOUND = 1e-4
"""Of probabilities."""
SPELLED = {
    "austen-0870": (
        "And Mr. John Dashwood had then leisure to consider how much there might be prudently in "
        "his power to do for them."
    ),
    "austen-0880": "He was not an ill-disposed young man.",
    "austen-0890": ("Unless to be rather cold-hearted and rather selfish is to be ill-disposed."),
    "austen-0920": (
        "Had he married a more amiable woman, he might have been made still more respectable than "
        "he was."
    ),
    "austen-0930": "He might even have been made amiable himself.",
}
"""The texts of the clips as a careful writer would type them."""
LOOPS = "austen-0880"
"""The clip at which Whisper base repeats itself for ever in a window of 4 s."""


@pytest.fixture(autouse=True, scope="module")
def two_threads() -> Iterator[None]:
    """Real weights gain by both cores (tests/conftest.py gives tiny ones a single thread)."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def scorer(whisper_base: Path) -> WhisperScorer:
    return WhisperScorer(WhisperConfig(model=str(whisper_base), rows=5))


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


@pytest.mark.parametrize("engine", ["torch", "ctranslate2"])
@pytest.mark.parametrize("model", ["whisper_base", "whisper_tiny_en"])
def test_no_speech_and_languages_are_openai_whisper_s(
    engine: Literal["torch", "ctranslate2"],
    model: str,
    librivox: list[SpokenClip],
    synthetic: list[SpokenClip],
    request: pytest.FixtureRequest,
) -> None:
    folder: Path = request.getfixturevalue(model)
    theirs = openai_whisper(folder)
    heard = [s for s in sounds(librivox + synthetic) if theirs.is_multilingual or s[1] == "en"]
    ours = WhisperScorer(WhisperConfig(model=str(folder), engine=engine, rows=5)).score(
        [w for w, _ in heard], RATE_HZ, ["yes"] * len(heard), [language for _, language in heard]
    )
    for (waveform, language), raw in zip(heard, ours, strict=True):
        mel = whisper.log_mel_spectrogram(whisper.pad_or_trim(torch.from_numpy(waveform)))
        options = DecodingOptions(
            language=language, sample_len=1, fp16=False, without_timestamps=True
        )
        result = whisper.decode(theirs, mel, options)
        assert not isinstance(result, list)
        assert raw.no_speech == pytest.approx(result.no_speech_prob, abs=BOUND)
        if theirs.is_multilingual:
            _, expected = theirs.detect_language(mel)
            assert isinstance(expected, dict)
            assert raw.languages == pytest.approx(expected, abs=BOUND)
        else:
            assert raw.languages == {}


def test_the_language_component_refuses_an_english_only_model(whisper_tiny_en: Path) -> None:
    with pytest.raises(BadInput, match="English-only; use a multilingual one"):
        WhisperScorer(WhisperConfig(model=str(whisper_tiny_en))).check_languages(None)


def noisy(waveform: Waveform, db: float) -> Waveform:
    """With white noise so far below the speech."""
    noise = np.random.default_rng(0).standard_normal(len(waveform))
    level = np.sqrt(np.mean(waveform**2) / np.mean(noise**2)) * 10 ** (-db / 20)
    return (waveform + level * noise).astype(np.float32)


@pytest.mark.parametrize("way", ["clean", "noisy", "cut"])
def test_how_a_text_is_typed_does_not_matter(
    way: str, scorer: WhisperScorer, librivox: list[SpokenClip]
) -> None:
    spoiled = {
        "clean": lambda w: w,
        "noisy": lambda w: noisy(w, 5),
        "cut": lambda w: w[: len(w) // 2],
    }
    waveforms = [spoiled[way](clip.waveform) for clip in librivox]
    lower, upper, spelled = (
        score(scorer, waveforms, texts)
        for texts in (
            [clip.text for clip in librivox],
            [clip.text.upper() for clip in librivox],
            [SPELLED[clip.name] for clip in librivox],
        )
    )
    for one, other, third, clip in zip(lower, upper, spelled, librivox, strict=True):
        utilities = [math.exp(-raw.nll / 3) for raw in (one, other, third)]
        print(f"{way} {clip.name} CER {one.cer:.2f} utilities {utilities}")
        assert max(utilities) - min(utilities) < 0.02
    if way == "clean":
        assert [raw.cer for raw in lower] == [0] * len(librivox)
        assert max(raw.nll for raw in lower) < 0.3


def test_a_word_that_was_not_said_is_never_cheap(
    scorer: WhisperScorer, librivox: list[SpokenClip]
) -> None:
    """Each text with one word more, with another word, and the speech without its end."""
    waveforms = [clip.waveform for clip in librivox]
    right = score(scorer, waveforms, [clip.text for clip in librivox])
    for change in (" garden", ""):
        texts: list[str] = []
        for clip in librivox:
            words = clip.text.split()
            words[len(words) // 2] = f"{words[len(words) // 2]}{change}" if change else "garden"
            texts.append(" ".join(words))
        for good, bad in zip(right, score(scorer, waveforms, texts), strict=True):
            assert bad.nll > 2 * good.nll
    ends = [w[: -int(0.7 * RATE_HZ)] for w in waveforms]
    for good, bad in zip(right, score(scorer, ends, [c.text for c in librivox]), strict=True):
        assert bad.nll > good.nll or bad.cer == 0


def test_a_cropped_window_is_never_worse_than_a_full_one(
    whisper_base: Path, scorer: WhisperScorer, librivox: list[SpokenClip]
) -> None:
    cropped = WhisperScorer(WhisperConfig(model=str(whisper_base), window="cropped", rows=5))
    clip = next(clip for clip in librivox if clip.name == LOOPS)
    job = ReadingJob(clip.waveform, cropped.tokens.prompt("en"))
    [(_, alone)] = cropped.engine.read([job], "cropped")
    assert len(alone.written) > 100  # a loop, which the reward must not see
    waveforms, texts = [c.waveform for c in librivox], [c.text for c in librivox]
    raws = score(cropped, waveforms, texts)
    assert [raw.cer for raw in raws] == [0] * len(librivox)
    wrong = [*texts[1:], texts[0]]
    for one, other in zip(
        score(cropped, waveforms, wrong), score(scorer, waveforms, wrong), strict=True
    ):
        assert (one.transcript, one.cer) == (other.transcript, other.cer)
        assert one.nll == pytest.approx(other.nll, abs=1e-4)
