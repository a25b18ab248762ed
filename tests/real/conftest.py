"""Real weights and real speech: `make test-real`."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.real_whisper import folders
from support.speech import SpokenClip, librivox_clips, synthetic_clips
from ttsrl.reward.config import WhisperConfig
from ttsrl.scorers.whisper.scorer import WhisperScorer


@pytest.fixture(scope="session")
def whisper_base() -> Path:
    """Whisper base, whose tokenizer.json is whole."""
    return folders.base()


@pytest.fixture(scope="session")
def base_scorer(whisper_base: Path) -> WhisperScorer:
    """The reward's Whisper with the weights of base, five clips at once."""
    return WhisperScorer(WhisperConfig(model=str(whisper_base), rows=5))


@pytest.fixture(scope="session")
def whisper_base_older() -> Path:
    """Whisper base, whose tokenizer.json lacks BPE's first merge."""
    return folders.base_older()


@pytest.fixture(scope="session")
def whisper_tiny_en() -> Path:
    """Whisper tiny.en."""
    return folders.tiny_en()


@pytest.fixture(scope="session")
def ctranslate2_base() -> Path:
    """Whisper base as faster-whisper has it."""
    return folders.ctranslate2_base()


@pytest.fixture(scope="session")
def ctranslate2_tiny_en() -> Path:
    """Whisper tiny.en as faster-whisper has it."""
    return folders.ctranslate2_tiny_en()


@pytest.fixture(scope="session")
def librivox() -> list[SpokenClip]:
    """Five sentences read by a person."""
    return librivox_clips()


@pytest.fixture(scope="session")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> list[SpokenClip]:
    """Sentences in six languages by voices of flite and espeak-ng."""
    return synthetic_clips(tmp_path_factory.mktemp("speech"))
