"""Three rewards of the tiny stack that a policy can fool, and how."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from ttsrl.runtime.resources import resource

TINY = resource("examples/tiny")
JUDGE = "judge"


@dataclass(frozen=True)
class Trick:
    """A reward with a hole."""

    name: str
    title: str
    hole: str
    """What the reward does not see, in one sentence."""
    components: list[dict[str, Any]]
    steps: int
    learning_rate: float

    def settings(self, *, guarded: bool) -> list[str]:
        """What differs from the run of the quickstart, as for `--set`."""
        judge = {"name": JUDGE, "type": "ctc", "model": str(TINY / "judge")}
        return [
            f"name=hack-{self.name}-{'guarded' if guarded else 'unguarded'}",
            f"reward.components={json.dumps(self.components)}",
            "reward.whisper=null",
            f"eval.judges={json.dumps([judge])}",
            'eval.during_training={"every": 1, "texts": 96, "device": "cpu"}',
            "eval.greedy=false",
            f"train.steps={self.steps}",
            "train.save_every=3",
            "train.prompts_per_step=12",
            f"train.learning_rate={self.learning_rate:g}",
            "train.final_learning_rate_ratio=1.0",
            # The audit would refuse all three before they begin; here they are to go wrong.
            "guards.audit=warn",
            *([] if guarded else ["guards.built_in=false"]),
        ]


TRICKS = (
    Trick(
        "rate",
        "Only the speed is rewarded",
        "Characters per second rise fastest if the speech ends before the text does.",
        [{"type": "rate", "low": 30, "high": 90, "softness": 12}],
        steps=60,
        learning_rate=2e-5,
    ),
    Trick(
        "voice",
        "Only a full voice is rewarded",
        "The share of voiced sound is worth everything and the words nothing.",
        [{"type": "voiced_share", "low": 0.85, "high": 1, "softness": 0.1}],
        steps=60,
        learning_rate=5e-5,
    ),
    Trick(
        "style",
        "Only the style is rewarded",
        "A lively pitch is worth everything and the words nothing.",
        [{"type": "pitch_spread", "low": 3, "high": 9, "softness": 0.7}],
        steps=60,
        learning_rate=5e-5,
    ),
)
