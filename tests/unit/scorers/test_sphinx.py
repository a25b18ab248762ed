"""PocketSphinx as a judge: what it refuses. Its transcripts are in tests/real."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from support.paths import TINY
from ttsrl.config.load import load_run
from ttsrl.config.schema import JudgeConfig
from ttsrl.errors import BadInput
from ttsrl.evaluation.judge import Judge
from ttsrl.evaluation.suites import SuiteText
from ttsrl.scorers.registry import load_judge

pytest.importorskip("pocketsphinx")

CONFIG = JudgeConfig(name="hmm", type="pocketsphinx", model="pocketsphinx")


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge(CONFIG, "cpu", 4)


def test_another_language_is_refused_by_name_and_before_anything_is_spoken(judge: Judge) -> None:
    with pytest.raises(BadInput, match="hears English alone, and a text is in 'de'"):
        judge.recogniser.transcribe([np.zeros(16_000, np.float32)] * 2, 16_000, ["en", "de"])
    english, german = SuiteText(0, "one", "en", None), SuiteText(1, "zwei", "de", None)
    judge.check_languages([english])
    with pytest.raises(BadInput, match=r"judge 'hmm' hears en alone.*zwei.*is in 'de'"):
        judge.check_languages([english, german])


def test_another_model_is_refused() -> None:
    with pytest.raises(BadInput, match="not with openai/whisper-base; set its model to"):
        load_judge(CONFIG.model_copy(update={"model": "openai/whisper-base"}))


@pytest.mark.parametrize("samples", [1, 100, 409, 16_000])
def test_silence_and_what_is_shorter_than_a_frame_have_no_word(judge: Judge, samples: int) -> None:
    quiet: Any = np.zeros(samples, np.float32)
    assert judge.recogniser.transcribe([quiet], 16_000, ["en"]) == [""]


def test_a_run_may_name_it_as_a_judge() -> None:
    run = load_run(TINY / "run.json", [f"eval.judges=[{CONFIG.model_dump_json()}]"])
    assert run.eval.judges == [CONFIG]
