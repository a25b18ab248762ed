"""Moonshine as a recogniser: a tiny network of transformers' own class."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, MoonshineForConditionalGeneration

from support.paths import TINY
from support.tiny_scorers import save_tiny_moonshine
from ttsrl.config.evaluation import JudgeConfig
from ttsrl.errors import BadInput
from ttsrl.reward.components import AsrCer
from ttsrl.reward.config import RewardConfig, WhisperConfig
from ttsrl.scorers.base import SpeechSample
from ttsrl.scorers.moonshine import Moonshine, load_moonshine
from ttsrl.scorers.reference import RATE_HZ, check_scorer, voice
from ttsrl.scorers.registry import load_judge, load_scorers
from ttsrl.text.normalise import cer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_moonshine(tmp_path_factory.mktemp("moonshine"))


def clips() -> list[np.ndarray]:
    made = [(1.5, 120), (2.3, 200), (1.5, 260), (0.9, 90)]
    return [voice(s, pitch_hz=f) for s, f in made]


def test_it_writes_what_transformers_writes_alone_and_in_company(folder: Path) -> None:
    judge = load_judge(JudgeConfig(name="m", type="moonshine", model=str(folder)), batch_size=2)
    model: Any = MoonshineForConditionalGeneration.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    expected: list[str] = []
    for clip in clips():
        # as the model's card has it: 6.5 tokens per second
        longest = int(len(clip) * 6.5 / RATE_HZ)
        with torch.no_grad():
            ids = model.generate(torch.tensor(clip)[None], max_length=longest)
        assert ids.shape[1] <= longest
        expected.append(tokenizer.decode(ids[0], skip_special_tokens=True).strip())
    assert judge.transcribe(clips(), RATE_HZ, ["en"] * 4) == expected
    assert len(set(expected)) > 1 and all(expected)


def test_speech_too_short_for_its_convolutions_is_heard(folder: Path) -> None:
    short = [np.zeros(n, np.float32) for n in (0, 1, 894)]
    assert len(Moonshine(str(folder)).transcribe(short, RATE_HZ, ["en"] * 3)) == 3


def test_a_model_of_another_kind_is_refused() -> None:
    with pytest.raises(BadInput, match="not a Moonshine; give one such as UsefulSensors/"):
        load_moonshine(str(TINY / "judge"))
    with pytest.raises(BadInput, match="the package pocketsphinx has no Moonshine"):
        load_moonshine("pocketsphinx")


@pytest.mark.parametrize("kind", ["moonshine", "ctc"])
def test_a_second_recogniser_is_a_component(folder: Path, kind: str) -> None:
    model = folder if kind == "moonshine" else TINY / "judge"
    component = AsrCer.model_validate({"recogniser": kind, "model": str(model)})
    reward = RewardConfig(whisper=WhisperConfig(model="w"), components=[component])
    scorer: Any = load_scorers(reward)["asr_cer"]
    check_scorer("asr_cer", scorer)
    judge = load_judge(JudgeConfig.model_validate({"name": "j", "type": kind, "model": str(model)}))
    heard = judge.transcribe(clips(), RATE_HZ, ["en"] * 4)
    found = scorer.score([SpeechSample(c, RATE_HZ, "a bad cafe", "en") for c in clips()])
    assert found == [{"asr_cer": cer("a bad cafe", text, "en")} for text in heard]
    assert component.utility(0.1) == 1 - math.tanh(0.3)
