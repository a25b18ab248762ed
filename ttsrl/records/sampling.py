"""How speech tokens are drawn."""

from __future__ import annotations

from ttsrl.records.record import Record


class Sampling(Record):
    """Settings of one drawing; greedy decoding has only the last."""

    temperature: float
    top_p: float = 1.0
    """The fewest likeliest tokens that hold this share of the probability are drawn from."""
    top_k: int = -1
    """As many of the likeliest tokens are drawn from; -1: all."""
    max_speech_tokens: int
    """Longest response, the end token included."""

    def __str__(self) -> str:
        top_k = f", top_k {self.top_k}" if self.top_k > 0 else ""
        top_p = f", top_p {self.top_p:g}" if self.top_p < 1 else ""
        return f"temperature {self.temperature:g}{top_p}{top_k}"
