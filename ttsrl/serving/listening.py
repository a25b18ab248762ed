"""The reward's Whisper: loaded if a component needs it, and tested before the service is ready."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ttsrl.audio.waveform import Waveform
from ttsrl.reward.components import Language
from ttsrl.reward.config import RewardConfig
from ttsrl.scorers.whisper.scorer import WhisperScorer


def load_whisper(reward: RewardConfig, device: str) -> WhisperScorer | None:
    """The Whisper that the reward's components need. Raises BadInput if it is the wrong one."""
    if reward.whisper is None:
        return None
    whisper = WhisperScorer(reward.whisper, device, reward.batch_size)
    for component in reward.components:
        if isinstance(component, Language):
            whisper.check_languages(component.languages)
    return whisper


def check_whisper(
    whisper: WhisperScorer, waveforms: Sequence[Waveform], rate_hz: int, texts: Sequence[str]
) -> None:
    """Raise RuntimeError unless the same is heard alone and in a batch."""
    raws = whisper.score(waveforms, rate_hz, texts, ["en"] * len(texts))
    raw = whisper.score(waveforms[:1], rate_hz, texts[:1], ["en"])[0]
    if not all(math.isfinite(r.nll) for r in raws):
        raise RuntimeError(f"Whisper's likelihoods are not numbers: {raws}")
    exact = whisper.dtype == "float32"  # in bfloat16 a transcript may turn on a near-tie
    far = abs(raw.nll - raws[0].nll) > (1e-3 if exact else 0.1)
    if far or (exact and raw.transcript != raws[0].transcript):
        raise RuntimeError(f"Whisper hears the same differently in a batch: {raw}, {raws[0]}")
