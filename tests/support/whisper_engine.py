"""What tests change or count inside a Whisper scorer."""

from ttsrl.scorers.whisper.scorer import WhisperScorer
from ttsrl.scorers.whisper.torch_engine import WhisperTorch


def torch_engine(scorer: WhisperScorer) -> WhisperTorch:
    """The scorer's engine, which must be the one in torch."""
    assert isinstance(scorer.engine, WhisperTorch)
    return scorer.engine
