"""Numbers of a text as they are read out, so that "25" and "twenty-five" are the same speech.

Chinese and Japanese through WeText's grammars, other languages through the spell-out rules of
Unicode's CLDR. English has Whisper's own normaliser (`text.normalise`). A year reads as a cardinal,
and a Korean counter as Sino-Korean: both texts of an error rate are read in the same way.
"""

from __future__ import annotations

import re
from functools import lru_cache

from unicode_rbnf import RbnfEngine
from wetext import Normalizer

WETEXT = {"zh": "zh", "yue": "zh", "ja": "ja"}
"""Language -> WeText's grammar."""
PERCENT = {
    "de": "Prozent",
    "es": "por ciento",
    "fr": "pour cent",
    "it": "per cento",
    "ko": "퍼센트",
    "pt": "por cento",
}
"""Languages whose numbers CLDR's rules spell out here -> their word for %."""
LONGEST = 15
"""Digits; a longer one is not a quantity (an account, a telephone) and stays as it is."""


def read_numbers(text: str, language: str) -> str:
    """The text with its numbers in words; unchanged in a language that is in neither table."""
    if language in WETEXT:
        return str(_wetext(language).normalize(text))
    if language in PERCENT:
        point = "." if language == "ko" else ","
        group = "," if language == "ko" else r".\u00a0\u202f "
        number = rf"\d{{1,3}}(?:[{group}]\d{{3}})+(?!\d)|\d+"
        pattern = rf"({number})(?:\{point}(\d+))?(\s?%)?"
        return re.sub(pattern, lambda match: _spell(match, language), text)
    return text


def _spell(match: re.Match[str], language: str) -> str:
    whole, fraction, percent = match.groups()
    digits = re.sub(r"\D", "", whole)
    if len(digits) > LONGEST or (len(digits) > 1 and digits[0] == "0"):
        return match[0]
    number = f"{digits}.{fraction}" if fraction else digits
    words = _rules(language).format_number(number).text
    return f" {words} {PERCENT[language] if percent else ''} "


@lru_cache(maxsize=8)
def _wetext(language: str) -> Normalizer:
    # Recognisers write Mandarin in either script; Cantonese is written in the traditional one.
    return Normalizer(lang=WETEXT[language], operator="tn", traditional_to_simple=language == "zh")


@lru_cache(maxsize=8)
def _rules(language: str) -> RbnfEngine:
    return RbnfEngine.for_language(language)
