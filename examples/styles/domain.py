"""The styles of the demonstration: how the tiny stack's words follow each other."""

from __future__ import annotations

import random
from pathlib import Path

from examples.tiny.domain import SLOTS, trainable
from examples.tiny.word_tokens import PAUSE, word_tokens

HERE = Path(__file__).parent
PAUSES = {"fluent": 0, "halting": 3}
"""Style -> speech tokens of silence between two words, 80 ms each."""
STYLES = [*PAUSES]
MIN_WORDS, MAX_WORDS = 3, 4


def phrase(rng: random.Random) -> list[str]:
    """Three or four words in the order of the slots."""
    chosen = sorted(rng.sample(range(len(SLOTS)), rng.randint(MIN_WORDS, MAX_WORDS)))
    return [rng.choice(SLOTS[i]) for i in chosen]


def training_phrase(rng: random.Random) -> list[str]:
    """One that may be trained on."""
    while not trainable(words := phrase(rng)):
        pass
    return words


def say(words: list[str], style: str) -> list[int]:
    """Speech tokens of the words said right in a style, then a pause."""
    known = word_tokens()
    between = known[PAUSE] * PAUSES[style]
    spoken = [token for word in words[:-1] for token in [*known[word], *between]]
    return [*spoken, *known[words[-1]], *known[PAUSE]]
