"""Raw scores -> utilities -> one reward. Pure maths: no model, no waveform, no HTTP.

Each class is one component of a reward: the measurement it is made of, its weight, its knobs, and
the formula that turns the raw value into a utility. Formulas of the two default components:
channel-io/ch-tts-llasa-rl-grpo, verl/utils/reward_score/tts_cer.py; arXiv 2509.18798.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Annotated, Literal

from pydantic import Field

from ttsrl.strict import Strict

Composition = Literal["harmonic", "linear", "product"]


class Part(Strict):
    """What every component has."""

    weight: float = Field(default=1.0, ge=0)
    """Share in the composition; 0: measured and logged, and a guard if it has a `floor`."""
    floor: float = Field(default=0.0, ge=0, lt=1)
    """A rollout whose utility is below this is gated, whatever its other utilities."""
    max_cer: float | None = Field(default=None, ge=0)
    """A rollout whose CER is above this has utility 0 here: what it says comes first."""


class Cer(Part):
    """Character error rate of the transcript against the text, both normalised."""

    type: Literal["cer"] = "cer"
    weight: float = Field(default=0.6, gt=0)
    beta: float = Field(default=3.0, gt=0)
    """Steepness: utility is 0.5 near CER = 0.55 / beta."""

    def utility(self, raw: float) -> float:
        """1 for a perfect transcript, towards 0 as the CER grows: 1 - tanh(beta * CER)."""
        return 1.0 - math.tanh(self.beta * raw)


class Nll(Part):
    """Mean negative log-likelihood of the text under Whisper, nats a token, teacher-forced."""

    type: Literal["nll"] = "nll"
    weight: float = Field(default=0.4, gt=0)
    tau: float = Field(default=3.0, gt=0)
    """Scale in nats a token: utility is 1/e at NLL = tau."""

    def utility(self, raw: float) -> float:
        """1 for a certain reading, towards 0 as the text becomes unlikely: exp(-NLL / tau)."""
        return math.exp(-raw / self.tau)


Component = Annotated[Cer | Nll, Field(discriminator="type")]


def utilities_of(components: Iterable[Component], raw: Mapping[str, float]) -> dict[str, float]:
    """Component type -> utility in [0, 1], of the raw values that the scorers measured."""
    return {
        c.type: 0.0 if c.max_cer is not None and raw["cer"] > c.max_cer else c.utility(raw[c.type])
        for c in components
    }


def compose(
    utilities: Mapping[str, float], weights: Mapping[str, float], how: Composition = "harmonic"
) -> float:
    """One reward in [0, 1]; a component of weight 0 takes no part.

    harmonic: weighted harmonic mean, so that a good utility cannot buy back a bad one.
    linear: weighted mean. product: each utility to the power of its weight, multiplied.
    """
    weighted = [(weights[name], u) for name, u in utilities.items() if weights[name] > 0]
    total = sum(w for w, _ in weighted)
    match how:
        case "harmonic":
            if min(u for _, u in weighted) <= 0.0:
                return 0.0
            reward = total / sum(w / u for w, u in weighted)
        case "linear":
            reward = sum(w * u for w, u in weighted) / total
        case "product":
            reward = math.prod(u**w for w, u in weighted)
    return min(1.0, max(0.0, reward))
