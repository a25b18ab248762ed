"""What Whisper's real weights hear of a person's recordings."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.speech import RATE_HZ, SpokenClip
from ttsrl.reward.config import WhisperConfig
from ttsrl.scorers.whisper.scorer import WhisperScorer


@pytest.mark.parametrize("engine", ["torch", "ctranslate2"])
def test_a_person_s_sentences_are_heard_as_read(
    engine: str, whisper_base: Path, librivox: list[SpokenClip]
) -> None:
    config = WhisperConfig.model_validate({"model": str(whisper_base), "engine": engine})
    raws = WhisperScorer(config).score(
        [clip.waveform for clip in librivox],
        RATE_HZ,
        [clip.text for clip in librivox],
        ["en"] * len(librivox),
    )
    heard = {clip.name: raw.transcript for clip, raw in zip(librivox, raws, strict=True)}
    assert [raw.cer for raw in raws] == [0] * len(librivox), heard
