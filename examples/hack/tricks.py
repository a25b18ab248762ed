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
    uses_whisper: bool
    steps: int
    learning_rate: float

    def settings(self, *, guarded: bool) -> list[str]:
        """What differs from the run of the quickstart, as for `--set`."""
        judge = {"name": JUDGE, "type": "ctc", "model": str(TINY / "judge")}
        return [
            f"name=hack-{self.name}-{'guarded' if guarded else 'unguarded'}",
            f"reward.components={json.dumps(self.components)}",
            *([] if self.uses_whisper else ["reward.whisper=null"]),
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
        uses_whisper=False,
        steps=60,
        learning_rate=2e-5,
    ),
    Trick(
        "likelihood",
        "Only the likelihood of the text is rewarded",
        "Whisper's NLL is asked how likely the text is, never which words were heard.",
        [{"type": "nll"}],
        uses_whisper=True,
        steps=32,
        learning_rate=4e-4,
    ),
    Trick(
        "style",
        "Only the style is rewarded",
        "A lively pitch is worth everything and the words nothing.",
        [{"type": "pitch_spread", "low": 6, "high": 20, "softness": 3}],
        uses_whisper=False,
        steps=32,
        learning_rate=2e-4,
    ),
)
