"""Resemblyzer's speaker encoder with its weights: people and voices of flite."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from resemblyzer import VoiceEncoder, preprocess_wav

from support.speech import FLITE, RATE_HZ, SENTENCES, SpokenClip, say
from ttsrl.audio.io import resample
from ttsrl.errors import BadInput
from ttsrl.reward.components import Speaker
from ttsrl.scorers.base import SpeechSample
from ttsrl.scorers.reference import check_scorer
from ttsrl.scorers.speaker import SpeakerScorer
from ttsrl.scorers.speaker_models import SpeakerModel, load_speaker_model


@pytest.fixture(scope="module")
def model() -> SpeakerModel:
    return load_speaker_model("resemblyzer", "cpu", 4)


@pytest.fixture(scope="module")
def spoken(
    librivox: list[SpokenClip], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[SpokenClip]]:
    """Voice -> two clips of it with other words."""
    folder = tmp_path_factory.mktemp("voices")
    voices = {v: [say(folder, "flite", v, text) for text in SENTENCES["en"]] for v in FLITE}
    return {"reader": [librivox[0], librivox[3]]} | voices


def test_it_gives_the_package_s_own_embeddings(
    model: SpeakerModel, spoken: dict[str, list[SpokenClip]]
) -> None:
    clips = [clip.waveform for clips in spoken.values() for clip in clips]
    clips += [clips[0][: RATE_HZ // 2], resample(clips[0], RATE_HZ, 24_000)]
    rates_hz = [RATE_HZ] * (len(clips) - 1) + [24_000]
    encoder = VoiceEncoder("cpu", verbose=False)
    expected = [
        encoder.embed_utterance(preprocess_wav(clip, rate_hz))
        for clip, rate_hz in zip(clips, rates_hz, strict=True)
    ]
    found_ND = model.embed(clips, rates_hz)
    np.testing.assert_allclose(found_ND, np.stack(expected), atol=1e-6)
    alone = torch.cat([model.embed([c], [r]) for c, r in zip(clips, rates_hz, strict=True)])
    np.testing.assert_allclose(found_ND, alone, atol=1e-6)


def test_each_voice_is_nearer_to_itself_than_any_two_voices_are(
    model: SpeakerModel, spoken: dict[str, list[SpokenClip]]
) -> None:
    embedded = {
        name: model.embed([clip.waveform for clip in clips], [RATE_HZ] * len(clips))
        for name, clips in spoken.items()
    }
    same = {name: float(two[0] @ two[1]) for name, two in embedded.items()}
    different = {
        (one, other): float((embedded[one] @ embedded[other].T).max())
        for one, other in combinations(embedded, 2)
    }
    print(same, different)
    assert min(same.values()) > max(different.values()), (same, different)


def test_it_is_a_component(spoken: dict[str, list[SpokenClip]], tmp_path: Path) -> None:
    for name, (clip, _) in spoken.items():
        soundfile.write(tmp_path / f"{name}.wav", clip.waveform, RATE_HZ)
    scorer = SpeakerScorer(Speaker(model="resemblyzer", voices=str(tmp_path)), "cpu", 4)
    check_scorer("speaker", scorer)
    (_, said) = spoken["slt"]
    speeches = [
        SpeechSample(said.waveform, RATE_HZ, said.text, "en", speaker=name) for name in spoken
    ]
    found = {n: v["speaker"] for n, v in zip(spoken, scorer.score(speeches), strict=True)}
    assert max(found, key=lambda name: found[name]) == "slt"


def test_where_no_voice_is_there_is_no_similarity_and_no_reference(
    model: SpeakerModel, tmp_path: Path
) -> None:
    noise = np.random.default_rng(0).normal(0, 1e-3, RATE_HZ).astype(np.float32)
    quiet = np.zeros(RATE_HZ, np.float32)
    assert not model.embed([quiet, noise], [RATE_HZ] * 2).any()
    soundfile.write(tmp_path / "anna.wav", noise, RATE_HZ, subtype="FLOAT")
    scorer = SpeakerScorer(
        Speaker(model="resemblyzer", voices=str(tmp_path), voice="anna"), "cpu", 1
    )
    with pytest.raises(BadInput, match=r"anna\.wav: no voice is heard in it"):
        scorer.score([SpeechSample(noise, RATE_HZ, "any", "en")])
