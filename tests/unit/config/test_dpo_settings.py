"""What a run that learns from pairs does without is refused, and not ignored."""

from __future__ import annotations

import pytest

from support.paths import TINY
from ttsrl.config.load import load_run
from ttsrl.errors import BadInput

PAIRS = "dpo.pairs=pairs.jsonl"


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ('guards.rules=[{"name": "pitch", "then": "warn"}]', "guards.rules"),
        ('trackers=["tensorboard"]', "trackers"),
        ("eval.during_training.every=1", "eval.during_training"),
    ],
)
def test_what_watches_rollouts_is_refused_with_pairs(setting: str, named: str) -> None:
    assert load_run(TINY / "run.json", [PAIRS]).dpo is not None
    assert load_run(TINY / "run.json", [setting]).dpo is None
    with pytest.raises(BadInput, match=f"dpo learns from pairs, .* leave {named} out"):
        load_run(TINY / "run.json", [PAIRS, setting])
