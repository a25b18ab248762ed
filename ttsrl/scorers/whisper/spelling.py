"""A text as Whisper would write it, so that its likelihood does not depend on how it was typed.

Whisper never writes "he was not an ill disposed young man", but "He was not an ill-disposed young
man.": the first costs .8 nats per token where the second costs .1, for the same speech. What is
measured is therefore the text's words in Whisper's spelling. A word that was heard is taken as
Whisper wrote it. A word that was not heard is taken from the text, without the case and punctuation
that it had there; it gets the case of the word that was heard in its place.

All words of the text are in the result, in their order, and no others: a word that was left out,
added or said wrongly costs what it costs in any spelling. The same rule holds for every utterance
of a text, whether it was said rightly or not.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache

from rapidfuzz.distance import Levenshtein

from ttsrl.text.languages import UNSPACED
from ttsrl.text.normalise import cer, normalise

SPELLING_VERSION = 2
"""Raise it whenever a text is written differently: it is part of a reward's specification."""

HEARD_SIGNS = frozenset("%&@#*§‰/\\")
"""Punctuation to Unicode that has a spoken form."""
BRACKETS = str.maketrans(dict.fromkeys("()[]{}<>", " "))
"""What stands in brackets may be dropped by a normaliser, and is a word all the same."""
SENTENCE_END = re.compile(r"[.?!…。？！।؟]*$")
HYPHEN = re.compile(r"(?<=[^\W\d])[-‐‑](?=[^\W\d])")
"""Between the parts of a word."""
WITHIN = ",;:-–—，、；：، "
"""Punctuation that is not before the end of a sentence."""
PICTURES = ("So", "Sk", "Sm", "Cn")
"""Categories of symbols, and of characters that are newer than Python's Unicode."""
JOINERS = "\u200d\ufe0e\ufe0f"
"""What joins pictures to one, or gives them colours."""
IN_UNSPACED = re.compile(r"\s*(?:[A-Za-z0-9]+(?:[.,'-][A-Za-z0-9]+)*|\S)")


def respelled(text: str, transcript: str, language: str) -> str:
    """The words of `text` in the spelling of the transcript; both not normalised."""
    text, transcript = text.strip(), transcript.strip()
    if text == transcript or _same(text, transcript, language):
        return transcript
    ending = SENTENCE_END.search(transcript)
    end = ending[0] if ending else ""
    wanted = _words(text, language)
    heard = [u for u in _units(transcript.removesuffix(end), language) if _counts(u)]
    written: list[str] = []
    for want, hear, equal in _blocks(_keys(wanted, language), _keys(heard, language)):
        ours, theirs = wanted[want], heard[hear]
        if equal or _same(_join(ours, language), _join(theirs, language), language):
            written += theirs
        else:
            written += _cased(ours, theirs)
    # The last word of the text need not be the last that was heard.
    result = _join(written, language).rstrip(WITHIN) + end
    plain = bare(text, language)
    # Words that are joined can read differently: "twenty" that was heard as "20" before a "one".
    return result if _same(plain, result, language) else plain


def bare(text: str, language: str) -> str:
    """The text in lower case without punctuation: one form for all ways to type it."""
    return _join(_words(text, language), language).lower()


def _words(text: str, language: str) -> list[str]:
    units = _units(HYPHEN.sub(" ", _without_pictures(text, language)), language)
    return [word for unit in units if (word := _bare(unit))]


def _without_pictures(text: str, language: str) -> str:
    """Without emoji, notes, arrows and the like, which are not said; "°" and "€" stay."""
    kept: list[str] = []
    after_picture = False
    for char in text:
        after_picture = _is_picture(char, language) or (after_picture and char in JOINERS)
        kept.append(" " if after_picture else char)
    return "".join(kept)


@lru_cache(maxsize=65_536)
def _is_picture(char: str, language: str) -> bool:
    if char.isascii():
        return False  # "+" may be said in one place and not in another
    return unicodedata.category(char) in PICTURES and not normalise(char, language)


def _units(text: str, language: str) -> list[str]:
    """Words; where these are not told apart by spaces, characters and words in Latin letters."""
    return IN_UNSPACED.findall(text.strip()) if language in UNSPACED else text.split()


def _join(units: Sequence[str], language: str) -> str:
    return ("" if language in UNSPACED else " ").join(units).strip()


def _bare(unit: str) -> str:
    """A unit without the punctuation around it; what can be said of it stays."""
    first, last = 0, len(unit)
    while first < last and _silent(unit[first]) and not re.match(r"[-.]\d", unit[first:]):
        first += 1
    while first < last and _silent(unit[last - 1]):
        last -= 1
    return unit[first:last]


def _silent(char: str) -> bool:
    return unicodedata.category(char)[0] in "PZ" and char not in HEARD_SIGNS


def _counts(unit: str) -> bool:
    """Whether a unit that was heard is a word or plain punctuation, and not a sound in brackets."""
    return not re.fullmatch(r"[\[(].*[\])]", unit.strip())


def _keys(units: Sequence[str], language: str) -> list[str]:
    return [_key(unit, language) for unit in units]


@lru_cache(maxsize=65_536)
def _key(unit: str, language: str) -> str:
    return normalise(unit.translate(BRACKETS), language)


def _same(one: str, other: str, language: str) -> bool:
    """Whether two spellings are of the same words."""
    one, other = one.translate(BRACKETS), other.translate(BRACKETS)
    if not any(map(str.isalnum, one)) and not normalise(one, language):
        # Nothing was wanted: what was heard may be punctuation, and no filler that is not compared.
        return not any(map(str.isalnum, other)) and not normalise(other, language)
    return bool(other.strip()) and cer(one, other, language) == 0


Block = tuple[slice, slice, bool]
"""Stretches of text and transcript that belong together, and whether they are equal."""


def _blocks(wanted: Sequence[str], heard: Sequence[str]) -> Iterator[Block]:
    """Equal stretches, and what lies between two of them as one."""
    want = hear = 0
    for op in Levenshtein.opcodes(wanted, heard):
        if op.tag != "equal":
            continue
        yield from _between(want, op.src_start, hear, op.dest_start)
        yield slice(op.src_start, op.src_end), slice(op.dest_start, op.dest_end), True
        want, hear = op.src_end, op.dest_end
    yield from _between(want, len(wanted), hear, len(heard))


def _between(want: int, want_end: int, hear: int, hear_end: int) -> Iterator[Block]:
    if want < want_end or hear < hear_end:
        yield slice(want, want_end), slice(hear, hear_end), False


def _cased(ours: Sequence[str], theirs: Sequence[str]) -> list[str]:
    """Words that were not heard, in lower case, with a capital where what was heard has one."""
    capital = [bool(word.strip()[:1].isupper()) for word in theirs]
    capital += [False] * len(ours)
    lower = [word.lower() for word in ours]
    return [w[:1].upper() + w[1:] if c else w for w, c in zip(lower, capital, strict=False)]
