"""Raw scores -> utilities -> one reward. Pure maths: no model, no waveform, no HTTP.

Formulas: channel-io/ch-tts-llasa-rl-grpo, verl/utils/reward_score/tts_cer.py; arXiv 2509.18798.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from ttsrl.strict import Strict


class Cer(Strict):
    """Character error rate of the transcript against the text, both normalised."""

    type: Literal["cer"] = "cer"
    weight: float = Field(default=0.6, gt=0)
    beta: float = Field(default=3.0, gt=0)
    """Steepness: utility is 0.5 near CER = 0.55 / beta."""

    def utility(self, raw: float) -> float:
        """1 for a perfect transcript, towards 0 as the CER grows: 1 - tanh(beta * CER)."""
        return 1.0 - math.tanh(self.beta * raw)


class Nll(Strict):
    """Mean negative log-likelihood of the text under Whisper, nats a token, teacher-forced."""

    type: Literal["nll"] = "nll"
    weight: float = Field(default=0.4, gt=0)
    tau: float = Field(default=3.0, gt=0)
    """Scale in nats a token: utility is 1/e at NLL = tau."""

    def utility(self, raw: float) -> float:
        """1 for a certain reading, towards 0 as the text becomes unlikely: exp(-NLL / tau)."""
        return math.exp(-raw / self.tau)


Component = Annotated[Cer | Nll, Field(discriminator="type")]


def compose(utilities: Mapping[str, float], weights: Mapping[str, float]) -> float:
    """Weighted harmonic mean, clipped to [0, 1]: a good utility cannot buy back a bad one."""
    if min(utilities.values()) <= 0.0:
        return 0.0
    total = sum(weights.values())
    return min(1.0, max(0.0, total / sum(weights[k] / u for k, u in utilities.items())))
