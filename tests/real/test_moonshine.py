"""Moonshine with the weights of its package: the package's own program writes the same."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import pytest

from support.speech import RATE_HZ, SpokenClip
from ttsrl.config.evaluation import JudgeConfig
from ttsrl.errors import BadInput
from ttsrl.models.packaged import packaged_model
from ttsrl.scorers.base import Recogniser
from ttsrl.scorers.registry import load_judge
from ttsrl.text.normalise import cer

CONFIG = JudgeConfig(name="m", type="moonshine", model="moonshine_voice")


@pytest.fixture(scope="module")
def judge() -> Recogniser:
    return load_judge(CONFIG)


def test_it_writes_what_the_package_s_own_program_writes(
    judge: Recogniser, librivox: list[SpokenClip]
) -> None:
    folder = str(packaged_model("moonshine_voice"))
    # without its voice detector, which would cut the recordings
    package: Any = import_module("moonshine_voice.transcriber")  # is there for these tests alone
    arch: Any = import_module("moonshine_voice.moonshine_api").ModelArch
    original = package.Transcriber(folder, arch.TINY, options={"vad_threshold": "0"})
    waveforms = [clip.waveform for clip in librivox]
    heard = judge.transcribe(waveforms, RATE_HZ, ["en"] * len(waveforms))
    for clip, ours in zip(librivox, heard, strict=True):
        lines = original.transcribe_without_streaming(clip.waveform.tolist(), RATE_HZ).lines
        # it fills its segments up to a whole number of frames
        segments = [np.array(line.audio_data, np.float32) for line in lines]
        theirs = [line.text for line in lines]
        assert judge.transcribe(segments, RATE_HZ, ["en"] * len(segments)) == theirs
        assert cer(clip.text, ours, "en") < 0.1


def test_it_hears_the_same_alone_and_in_company(
    judge: Recogniser, librivox: list[SpokenClip]
) -> None:
    waveforms = [clip.waveform for clip in librivox]
    together = judge.transcribe(waveforms, RATE_HZ, ["en"] * len(waveforms))
    assert together == [judge.transcribe([one], RATE_HZ, ["en"])[0] for one in waveforms]


def test_another_language_is_refused(judge: Recogniser, librivox: list[SpokenClip]) -> None:
    with pytest.raises(BadInput, match="hears English alone, and a text is in 'de'"):
        judge.transcribe([librivox[0].waveform], RATE_HZ, ["de"])
