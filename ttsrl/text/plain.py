"""Texts that are words and nothing else: most of them, and they are read at once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from ttsrl.text.amounts import currency_signs
from ttsrl.text.compounds import has_named_range
from ttsrl.text.languages import BY_CHARACTER
from ttsrl.text.lattice import Reading
from ttsrl.text.speech import speech
from ttsrl.text.spelling import KEPT_COMPATIBLE, audible, is_sign
from ttsrl.text.words import BARE_UNITS, ROMAN_INSIDE, abbreviations

STOPS = (
    "\u037e\u0387\u0589\u05be\u060c\u061b\u061f\u06d4\u0964\u0965"
    "\u104a\u104b\u1361\u1362\u17d4\u17d5"
)
"""Full stops, commas and question marks of scripts other than Latin."""
CLAUSES = re.compile(r"[\s,.;:!?()…、。，！？；：]+")
PUNCTUATION = '.,;:!?"()…«»„“”¡¿*-\u2013\u2014、。' + STOPS


def plain_words(text: str, language: str) -> Reading | None:
    """The words of a text in which there is nothing else; None if there may be."""
    odd, listed, roman = _odd(language)
    if odd.search(text):
        return None
    endings = tuple(speech(language).suffixes) or "\0"
    if any(dash in text for dash in "-\u2013") and has_named_range(text, language):
        return None
    for bare in _pieces(text, language):
        if bare.casefold() in listed or bare in BARE_UNITS or bare.endswith(endings):
            return None
        if roman.fullmatch(bare):
            return None
    if language in BY_CHARACTER and abbreviations(language)[0].search(text):
        return None
    return tuple(audible(text, language).split())


def _pieces(text: str, language: str) -> Iterator[str]:
    """Words without the punctuation around them, and the parts of those with hyphens."""
    for token in CLAUSES.split(text) if language in BY_CHARACTER else text.split():
        yield token.strip(PUNCTUATION)
        if "-" in token:
            yield from token.strip(PUNCTUATION).split("-")


@lru_cache(maxsize=128)
def _odd(language: str) -> tuple[re.Pattern[str], frozenset[str], re.Pattern[str]]:
    """What makes a text more than its words: characters, and words of the language's table."""
    table = speech(language)
    keys = [*table.symbols, *table.before_number, *table.between, *table.units]
    signs = {c for key in [*keys, *currency_signs(language)] for c in key if is_sign(c)}
    signs |= set("'\u2019\u2018<[@") | {c for c in currency_signs(language) if len(c) == 1}
    plain = signs - set("-\u2013\u2014:. ")
    listed = {key.casefold().rstrip(".") for key in table.abbreviations if not key.endswith("#")}
    listed |= {key.casefold().split(".")[0] for key in table.abbreviations if ". " in key}
    listed |= {
        piece.rstrip(".").casefold()
        for key in table.abbreviations
        for piece in key.split()
        if piece.endswith(".")
    }
    listed |= {*table.words, *(w.casefold() for group in table.same for w in group)}
    listed |= {word for group in table.fillers for word in group}
    characters = re.escape("".join(sorted(plain))) + "".join(KEPT_COMPATIBLE)
    shortened = "|".join(map(re.escape, table.short_dates)) or "(?!)"
    odd = (
        rf"[\d{characters}]|\w\.\w|(?<!\w)\w\.\s\w|(?<!\S)\.\w"
        rf"|(?<![\w-])[A-F]-(?![\w-])|(?<!\w)(?:{shortened})\.(?!\w)"
    )
    if language == "en":
        odd += r"|[A-Z][a-z]+\sI(?![\w'\u2019])"
    single = "[VX]" if language == "en" else "[VXI]"
    if table.letters:
        odd += r"|(?<!\w)[A-Z]{2,5}(?!\w)"
    if language in BY_CHARACTER:
        odd += f"|{ROMAN_INSIDE.pattern}"
    roman = (
        rf"[IVXLCDM]{{2,}}|[ivx]{{2,}}|{single}|[IVXLCDM]+(?:{table.roman_ordinal})"
        if table.roman
        else "(?!)"
    )
    return re.compile(odd), frozenset(listed - {""}), re.compile(roman)
