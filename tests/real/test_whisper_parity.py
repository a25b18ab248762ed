"""ttsrl's Whisper beside openai-whisper's own code, with the same weights and the same speech."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import whisper
from torch import Tensor
from torch.nn import functional as F
from whisper.model import Whisper
from whisper.tokenizer import get_tokenizer

from support.real_whisper.openai import openai_whisper
from support.speech import RATE_HZ, SpokenClip
from ttsrl.reward.config import WhisperConfig
from ttsrl.scorers.base import Raw
from ttsrl.scorers.whisper.scorer import WhisperScorer

BOUND = 1e-4
"""Nats per token, and of probabilities."""
BASES = ["whisper_base", "whisper_base_older"]


@pytest.fixture(scope="module")
def clips(librivox: list[SpokenClip], synthetic: list[SpokenClip]) -> list[SpokenClip]:
    """Two of a person, and a voice of each language."""
    return librivox[:2] + list({clip.language: clip for clip in synthetic}.values())


@pytest.fixture(scope="module")
def theirs(whisper_base: Path) -> Whisper:
    return openai_whisper(whisper_base)


@pytest.fixture(scope="module")
@torch.no_grad()
def heard_by_theirs(theirs: Whisper, clips: list[SpokenClip]) -> list[Tensor]:
    """The encoder's states, [1, S, D] of each clip in a window of 30 s."""
    padded = [whisper.pad_or_trim(torch.from_numpy(clip.waveform)) for clip in clips]
    return [theirs.embed_audio(whisper.log_mel_spectrogram(samples)[None]) for samples in padded]


@pytest.fixture(scope="module", params=BASES)
def raws(request: pytest.FixtureRequest, clips: list[SpokenClip]) -> list[Raw]:
    """What channel-io's mode measures, with each of the two tokenizers."""
    folder: Path = request.getfixturevalue(request.param)
    scorer = WhisperScorer(WhisperConfig(model=str(folder), mode="channel-io"), batch_size=8)
    return scorer.score(
        [clip.waveform for clip in clips],
        RATE_HZ,
        [clip.text for clip in clips],
        [clip.language for clip in clips],
    )


@torch.no_grad()
def test_the_nll_is_openai_whisper_s(
    raws: list[Raw], theirs: Whisper, clips: list[SpokenClip], heard_by_theirs: list[Tensor]
) -> None:
    """The recipe's: whisper_server.py of channel-io/ch-tts-llasa-rl-grpo reads the raw text right
    after the start token."""
    tokenizer = get_tokenizer(multilingual=True)
    for clip, states, raw in zip(clips, heard_by_theirs, raws, strict=True):
        ids = torch.tensor([[tokenizer.sot, *tokenizer.encode(clip.text), tokenizer.eot]])
        logits = theirs.logits(ids[:, :-1], states)
        expected = F.cross_entropy(logits[0], ids[0, 1:]).item()
        assert raw.nll == pytest.approx(expected, abs=BOUND), clip.name


def test_language_silence_and_transcript_are_openai_whisper_s(
    raws: list[Raw], theirs: Whisper, clips: list[SpokenClip], heard_by_theirs: list[Tensor]
) -> None:
    """Of every voice, in the language that is detected; the transcript is greedy."""
    _, probabilities = whisper.detect_language(theirs, torch.cat(heard_by_theirs))
    options = whisper.DecodingOptions(fp16=False, without_timestamps=True)
    results = whisper.decode(theirs, torch.cat(heard_by_theirs), options)
    assert isinstance(results, list)
    for clip, raw, languages, result in zip(clips, raws, probabilities, results, strict=True):
        assert raw.languages == pytest.approx(languages, abs=BOUND), clip.name
        assert max(raw.languages, key=raw.languages.__getitem__) == result.language
        assert raw.no_speech == pytest.approx(result.no_speech_prob, abs=BOUND), clip.name
        assert raw.transcript == result.text.strip(), clip.name


@pytest.fixture(scope="module", params=["whisper_base", "whisper_tiny_en"])
def transcribed(
    request: pytest.FixtureRequest, librivox: list[SpokenClip]
) -> tuple[Path, list[str]]:
    """`whisper --language en --temperature 0`, without time stamps, of two clips."""
    folder: Path = request.getfixturevalue(request.param)
    model = openai_whisper(folder)
    results = [
        model.transcribe(
            clip.waveform, language="en", temperature=0.0, without_timestamps=True, fp16=False
        )
        for clip in librivox[:2]
    ]
    return folder, [str(result["text"]).strip() for result in results]


@pytest.mark.parametrize("engine", ["torch", "ctranslate2"])
def test_a_person_s_transcripts_are_those_of_openai_s_command(
    engine: str, transcribed: tuple[Path, list[str]], librivox: list[SpokenClip]
) -> None:
    folder, expected = transcribed
    config = WhisperConfig.model_validate({"model": str(folder), "engine": engine})
    waveforms = [clip.waveform for clip in librivox[:2]]
    heard = WhisperScorer(config, batch_size=8).transcribe(waveforms, RATE_HZ, ["en"] * 2)
    assert heard == expected


def test_ctranslate2_hears_a_person_s_sentences_as_read(
    whisper_base_older: Path, librivox: list[SpokenClip]
) -> None:
    """test_whisper_values.py has the same of torch, with the other tokenizer."""
    config = WhisperConfig(model=str(whisper_base_older), engine="ctranslate2")
    raws = WhisperScorer(config, batch_size=8).score(
        [clip.waveform for clip in librivox],
        RATE_HZ,
        [clip.text for clip in librivox],
        ["en"] * len(librivox),
    )
    assert [raw.cer for raw in raws] == [0] * len(librivox), [raw.transcript for raw in raws]
