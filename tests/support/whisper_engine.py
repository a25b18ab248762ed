"""What tests change, count or compare inside a Whisper scorer."""

from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import WhisperFeatureExtractor

from ttsrl.audio.waveform import Waveform
from ttsrl.scorers.whisper.scorer import WhisperScorer
from ttsrl.scorers.whisper.torch_engine import WhisperTorch
from ttsrl.serving.pipeline import Pipeline


def torch_engine(scorer: WhisperScorer) -> WhisperTorch:
    """The scorer's engine, which must be the one in torch."""
    assert isinstance(scorer.engine, WhisperTorch)
    return scorer.engine


def whisper_of(pipeline: Pipeline) -> WhisperScorer:
    """The pipeline's Whisper, which must be there."""
    assert pipeline.whisper is not None
    return pipeline.whisper


def features(folder: Path, waveforms: Sequence[Waveform]) -> torch.Tensor:
    """Log-mels by transformers, of waveforms at 16 kHz."""
    extractor = WhisperFeatureExtractor.from_pretrained(folder)
    return extractor(list(waveforms), sampling_rate=16_000, return_tensors="pt").input_features
