"""How much of a rollout says again what it has just said: its tokens, and its transcript.

Pure functions. A policy that is stuck repeats tokens, or words, for as long as it is let.
"""

from __future__ import annotations

import zlib
from collections.abc import Hashable, Sequence


def longest_repetition(items: Sequence[Hashable], window: int, times: int = 1) -> int:
    """Most items in a row that each stand at least `times` among the `window` items before it.

    It is the test by which repetition-aware sampling draws a token anew (VALL-E 2, arXiv
    2406.05370; CosyVoice's `ras_sampling`: window 10, and 0.1 of it is once).
    """
    longest = run = 0
    for n, item in enumerate(items):
        run = run + 1 if items[max(0, n - window) : n].count(item) >= times else 0
        longest = max(longest, run)
    return longest


def compression_ratio(text: str) -> float:
    """UTF-8 bytes over zlib's bytes: openai-whisper's measure of a transcript that loops."""
    data = text.encode()
    return len(data) / len(zlib.compress(data))


def repeated_chars(units: Sequence[str]) -> int:
    """Characters of the longest passage of a text that says its own words again, as "no no no no".

    `units` are words, or characters of a language that writes no spaces. A word is said again if it
    is one of the `NEAR` words before it; fewer than `NEAR` of them in a row are ordinary speech.
    """
    longest = run = chars = 0
    for n, unit in enumerate(units):
        again = unit in units[max(0, n - NEAR) : n]
        run, chars = (run + 1, chars + len(unit)) if again else (0, 0)
        if run >= NEAR:
            longest = max(longest, chars)
    return longest


NEAR = 3
"""Words back within which a text repeats itself: "knock knock", "bye bye bye", "la di da la di da"
do; "the cat and the dog" has no three such words in a row."""
