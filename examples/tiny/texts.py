"""texts.jsonl: the texts to train and to evaluate on, which `ttsrl prepare` will split."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

from examples.tiny.domain import HERE, held_out, phrase, spans
from examples.tiny.speech import PATCH, policy_recordings

N_TRAINING, N_HELD_OUT = 3_000, 600
MAX_PATCHES = 35
"""So that with its pause and end token each text fits `rollout.max_speech_tokens` of run.json."""


def write_texts() -> None:
    """Write texts.jsonl: texts of both kinds, mixed."""
    rng = random.Random(0)
    held = _distinct(N_HELD_OUT, rng, held_out)
    training = _distinct(
        N_TRAINING, rng, lambda words: not held_out(words) and held.isdisjoint(spans(words))
    )
    texts = [" ".join(words) for words in sorted(held) + sorted(training)]
    rng.shuffle(texts)
    rows = [{"id": f"tiny-{i:04d}", "text": text, "language": "en"} for i, text in enumerate(texts)]
    (HERE / "texts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def _distinct(
    n: int, rng: random.Random, accept: Callable[[tuple[str, ...]], bool]
) -> set[tuple[str, ...]]:
    chosen: set[tuple[str, ...]] = set()
    while len(chosen) < n:
        words = tuple(phrase(rng))
        length = sum(len(policy_recordings()[word]) for word in words)
        if length <= MAX_PATCHES * PATCH and accept(words):
            chosen.add(words)
    return chosen
