"""What the tiny stack can say: phrases of 3 to 6 of 32 words, and which of them are trained on."""

from __future__ import annotations

import functools
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

from ttsrl.data.split import is_held_out
from ttsrl.lines.json_lines import json_objects

HERE = Path(__file__).parent
SLOTS = [
    ["two", "three", "four", "five", "six", "seven"],
    ["red", "green", "blue", "black", "white", "old", "quick"],
    ["birds", "dogs", "horses", "tigers", "robots", "sailors", "monkeys"],
    ["walk", "run", "jump", "sing", "swim", "climb"],
    ["home", "again", "today", "early", "south", "outside"],
]
WORDS = [word for slot in SLOTS for word in slot]
MIN_WORDS, MAX_WORDS = 3, 6
HELD_OUT_FRACTION = 0.2
"""As `data.held_out_fraction` in run.json says."""


def phrase(rng: random.Random) -> list[str]:
    """A random phrase: half the time one that fills slots in order, else words at random."""
    if rng.random() < 0.5:
        size = rng.randint(MIN_WORDS, len(SLOTS))
        chosen = sorted(rng.sample(range(len(SLOTS)), size))
        return [rng.choice(SLOTS[i]) for i in chosen]
    return [rng.choice(WORDS) for _ in range(rng.randint(MIN_WORDS, MAX_WORDS))]


def held_out(words: Sequence[str]) -> bool:
    """Whether these words, in any order, belong to the held-out share."""
    return is_held_out(" ".join(words), HELD_OUT_FRACTION, by="words")


def spans(words: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """All runs of at least MIN_WORDS words."""
    for i in range(len(words)):
        for j in range(i + MIN_WORDS, len(words) + 1):
            yield tuple(words[i:j])


def trainable(words: Sequence[str]) -> bool:
    """Whether anything may be trained on these words, as a text or as speech.

    They are not a held-out text and do not contain the words of one of texts.jsonl in their order.
    """
    return not held_out(words) and _held_out_texts().isdisjoint(spans(words))


def training_phrase(rng: random.Random) -> list[str]:
    """A random phrase that may be trained on."""
    while not trainable(words := phrase(rng)):
        pass
    return words


def read_texts() -> list[str]:
    """The texts of texts.jsonl, in its order."""
    return [row["text"] for _, row in json_objects(HERE / "texts.jsonl", '{"text": "..."}')]


@functools.cache
def _held_out_texts() -> frozenset[tuple[str, ...]]:
    texts = (tuple(text.split()) for text in read_texts())
    return frozenset(words for words in texts if held_out(words))
