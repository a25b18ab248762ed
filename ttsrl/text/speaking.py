"""How long it takes to say a text, by its letters: an estimate for limits, not a measurement.

The weights are those of RuleDurationEstimator in k2-fsa/OmniVoice (Apache-2.0), which give the time
of a letter of each script relative to a Latin one. The scale is that of read Mandarin, 5.18
syllables per second, a character each (Pellegrino, Coupe and Marsico, Language 87, 2011).
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

CHARACTER = 3.0
"""Weight of a Chinese character."""
UNIT_S = 1 / (5.18 * CHARACTER)
"""Seconds of a Latin letter."""
PUNCTUATION, SPACE, DIGIT, INDIC = 0.5, 0.2, 3.5, 1.8
WEIGHTS = {
    "CJK": CHARACTER,
    "BOPOMOFO": CHARACTER,
    "ETHIOPIC": 3.0,
    "YI": 3.0,
    "HANGUL": 2.5,
    "HIRAGANA": 2.2,
    "KATAKANA": 2.2,
    "KATAKANA-HIRAGANA": 2.2,
    "KHMER": 1.8,
    "MYANMAR": 1.8,
    "THAI": 1.5,
    "LAO": 1.5,
    "ARABIC": 1.5,
    "HEBREW": 1.5,
    **dict.fromkeys(
        ["DEVANAGARI", "BENGALI", "GURMUKHI", "GUJARATI", "ORIYA", "TAMIL", "TELUGU", "KANNADA",
         "MALAYALAM", "SINHALA", "TIBETAN", "JAVANESE", "SUNDANESE"],
        INDIC,
    ),
}  # fmt: skip
"""First word of a letter's name in Unicode -> its weight; other letters have 1."""


def speaking_s(text: str) -> float:
    """Seconds in which a text is read at a usual rate, pauses included."""
    return UNIT_S * sum(map(_weight, text))


@lru_cache(maxsize=65_536)
def _weight(char: str) -> float:
    match unicodedata.category(char)[0]:
        case "M" | "C":
            return 0.0
        case "P" | "S":
            return PUNCTUATION
        case "Z":
            return SPACE
        case "N":
            return DIGIT
        case _:
            script = unicodedata.name(char, "").split(" ")[0]
            return WEIGHTS.get(script, 1.0)
