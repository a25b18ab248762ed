"""A corpus as machines transcribe it: wrong words, cut recordings, foreign transcripts."""

from __future__ import annotations

import random

import numpy as np
from numpy.typing import NDArray

PAIRS = (
    ("his", "her"), ("he", "she"), ("was", "is"), ("were", "are"), ("in", "on"), ("this", "that"),
    ("from", "for"), ("with", "without"), ("man", "woman"), ("had", "has"), ("can", "could"),
    ("will", "would"), ("at", "as"), ("by", "be"), ("these", "those"), ("they", "we"),
    ("my", "your"), ("first", "last"), ("old", "new"), ("good", "great"), ("up", "down"),
    ("before", "after"), ("day", "night"), ("house", "home"), ("make", "take"),
    ("long", "strong"), ("small", "large"), ("people", "person"), ("little", "big"),
)  # fmt: skip
"""Each is written for the other."""
OTHER = dict(PAIRS) | {b: a for a, b in PAIRS}
SWAPPED, CUT, FOREIGN = 0.4, 0.3, 0.03
"""Share of those words that are written wrong, and of the recordings that are cut, or have another
recording's transcript."""
KEPT = (0.45, 0.9)
"""Share of a cut recording that is left."""
SHORTEST = 4


def flawed(
    texts: list[str], tokens: list[NDArray[np.int16]], seed: int = 0
) -> tuple[list[str], list[NDArray[np.int16]]]:
    """The same corpus, spoiled."""
    rng = random.Random(seed)
    spoiled: list[str] = []
    parts: list[NDArray[np.int16]] = []
    for text, whole in zip(texts, tokens, strict=True):
        luck = rng.random()
        wrong = rng.choice(texts) if luck < FOREIGN else _swapped(text, rng)
        kept = len(whole)
        if FOREIGN <= luck < FOREIGN + CUT:
            kept = max(SHORTEST, int(kept * rng.uniform(*KEPT)))
        spoiled.append(wrong)
        parts.append(whole[:kept])
    return spoiled, parts


def _swapped(text: str, rng: random.Random) -> str:
    words: list[str] = []
    for word in text.split(" "):
        bare = word.rstrip(",.?")
        other = OTHER.get(bare.lower())
        swap = other is not None and rng.random() < SWAPPED
        words.append(f"{other}{word[len(bare) :]}" if swap else word)
    return " ".join(words)
