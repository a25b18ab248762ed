"""The policy's corpus: recordings whose transcripts a weak recogniser wrote.

So the policy learns what is systematically wrong with it, as a policy fine-tuned on found speech
does: it says certain words in place of others and swallows the end of long phrases. The right word
stays likely enough for sampling to find it, which is what GRPO needs.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from examples.tiny.domain import SLOTS, trainable, training_phrase

SAID_INSTEAD = {slot[i]: slot[i + 1] for slot in SLOTS for i in (0, 2)}
"""Transcribed word -> the word that was mostly said: ten words of 32."""
SAID_INSTEAD_SHARE = 0.7
LAST_WORD_LOST_SHARE = 0.65
"""Of the phrases of five words or more."""
OTHER_TEXT_SHARE, WRONG_WORDS_SHARE, CUT_SHARE = 0.04, 0.08, 0.04
"""Errors without a system: another phrase's recording, words wrong, the recording cut short."""


@dataclass(frozen=True)
class CorpusRecording:
    """A transcript, the words really said, and the share of them that the recording holds."""

    text: str
    said: list[str]
    share: float


def corpus(size: int, rng: random.Random) -> list[CorpusRecording]:
    """Recordings neither whose transcript nor whose speech holds a held-out text."""
    return [_recording(training_phrase(rng), rng) for _ in range(size)]


def _recording(words: Sequence[str], rng: random.Random) -> CorpusRecording:
    while True:
        said = [
            SAID_INSTEAD[w] if w in SAID_INSTEAD and rng.random() < SAID_INSTEAD_SHARE else w
            for w in words
        ]
        if len(said) >= 5 and rng.random() < LAST_WORD_LOST_SHARE:
            said.pop()
        share = 1.0
        draw = rng.random()
        if draw < OTHER_TEXT_SHARE:
            said = training_phrase(rng)
        elif draw < OTHER_TEXT_SHARE + WRONG_WORDS_SHARE:
            _spoil(said, rng)
        elif draw < OTHER_TEXT_SHARE + WRONG_WORDS_SHARE + CUT_SHARE:
            share = rng.uniform(0.3, 0.9)
        if trainable(said):
            return CorpusRecording(" ".join(words), said, share)


def _spoil(said: list[str], rng: random.Random) -> None:
    """Replace, drop or swap a word or two, in place."""
    for _ in range(rng.randint(1, 2)):
        at = rng.randrange(len(said))
        match rng.choice(["replace", "replace", "drop", "swap"]):
            case "replace":
                said[at] = rng.choice(next(slot for slot in SLOTS if said[at] in slot))
            case "drop" if len(said) > 1:
                said.pop(at)
            case _:
                said[at], said[at - 1] = said[at - 1], said[at]
