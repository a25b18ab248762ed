"""DistillMOS with Microsoft's weights, against the package's own class."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from distillmos import ConvTransformerSQAModel

from support.speech import RATE_HZ, SpokenClip
from ttsrl.audio.degradations import clipped, loop, noisy, reverberant
from ttsrl.audio.io import resample
from ttsrl.audio.waveform import Waveform
from ttsrl.reward.config import RewardConfig
from ttsrl.scorers.base import Scorer, SpeechSample
from ttsrl.scorers.reference import check_scorer
from ttsrl.scorers.registry import load_scorers
from ttsrl.scorers.remote import RemoteScorer


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    config = {"whisper": {"model": "w"}, "components": [{"type": "distillmos"}], "batch_size": 3}
    scorer = load_scorers(RewardConfig.model_validate(config))["distillmos"]
    assert not isinstance(scorer, RemoteScorer)
    return scorer


@pytest.fixture(scope="module")
def original() -> ConvTransformerSQAModel:
    return ConvTransformerSQAModel().eval()


def score(scorer: Scorer, *waveforms: Waveform, rate_hz: int = RATE_HZ) -> list[float]:
    speeches = [SpeechSample(waveform, rate_hz, "any", "en") for waveform in waveforms]
    return [values["distillmos"] for values in scorer.score(speeches)]


def test_it_gives_the_package_s_own_values(
    scorer: Scorer, original: ConvTransformerSQAModel, librivox: list[SpokenClip]
) -> None:
    """Shorter than a window, a window exactly, barely longer, and of several windows."""
    whole = np.concatenate([clip.waveform for clip in librivox])
    clips = [clip.waveform for clip in librivox[:2]]
    clips += [whole[:samples] for samples in (122_880, 122_881, 140_000, 200_001)]
    with torch.no_grad():
        expected = [original(torch.from_numpy(clip)[None]).item() for clip in clips]
    assert score(scorer, *clips) == pytest.approx(expected, abs=1e-4)
    assert len({round(value, 3) for value in expected}) == len(clips)


def test_it_prefers_a_person_s_recording_to_the_same_degraded(
    scorer: Scorer, librivox: list[SpokenClip]
) -> None:
    for clip in librivox[:2]:
        worse = [spoil(clip.waveform, RATE_HZ) for spoil in (noisy, clipped, reverberant)]
        clean, *degraded = score(scorer, clip.waveform, *worse)
        assert clean > max(degraded) + 0.3


def test_a_loop_may_score_above_its_recording_which_is_why_it_needs_a_guard(
    scorer: Scorer, librivox: list[SpokenClip]
) -> None:
    clip = librivox[1].waveform
    clean, stuck = score(scorer, clip, loop(clip, RATE_HZ))
    assert stuck > clean


def test_it_is_the_same_alone_in_company_and_at_another_rate(
    scorer: Scorer, librivox: list[SpokenClip]
) -> None:
    check_scorer("distillmos", scorer)
    clips = [clip.waveform for clip in librivox[:4]]
    alone = [score(scorer, clip)[0] for clip in clips]
    assert score(scorer, *clips) == pytest.approx(alone, abs=1e-4)
    slow, fast = clips[0], resample(clips[0], RATE_HZ, 24_000)
    assert score(scorer, fast, rate_hz=24_000) == pytest.approx(score(scorer, slow), abs=0.1)
