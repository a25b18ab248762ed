"""Numbers and names that stand together in one piece: 5'10", 1:52.3, Mon-Fri, A-Z."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from ttsrl.text.lattice import Reading, choice
from ttsrl.text.numbers import number
from ttsrl.text.speech import Speech, speech
from ttsrl.text.spelling import audible
from ttsrl.text.values import one_of, read_value, said

DASH = r"\s?[-\u2013~\u301c\uff5e]\s?"
LAP = re.compile(r"(\d{1,2}):([0-5]\d[.,]\d{1,3})(?![\d.,:]\d|\d)")
FEET = re.compile(r"(\d{1,2})['\u2032]\s?(\d{1,2}(?:\.\d)?)(?![\d/])(?:[\"\u2033]|'')?")
PRIME = re.compile(r"(\d{1,3})['\u2032](?![\w'])")
ARC = re.compile(
    r"(\d{1,3})°\s?(\d{1,2})['\u2032](?:\s?(\d{1,2}(?:[.,]\d+)?)(?:[\"\u2033]|''))?(?!\w)"
)
INCHES = re.compile(r"(\d+/\d+|\d+(?:\.\d+)?)(?:\"|\u2033)(?!\w)")
LETTERS = re.compile(r"(?<!\w)([A-Z])[-\u2013]([A-Z])(?!\w)")

BETWEEN_LETTERS = re.compile(r"(?<![A-Za-z0-9])([BCDGMP])2([BCGMP])(?![A-Za-z0-9])")
"""B2B, P2P: the digit is a word of English, in every language."""

Found = tuple[Reading, int]
"""Readings and the position after what was read."""


def compound(text: str, at: int, language: str) -> Found | None:
    """What begins at that position; None if it is nothing of this kind."""
    for read in _READERS:
        if found := read(text, at, speech(language)):
            return found
    return None


def _lap(text: str, at: int, table: Speech) -> Found | None:
    """ "1:52.3": minutes and seconds with a fraction."""
    if not (match := LAP.match(text, at)):
        return None
    minutes, seconds = number(match[1], table.language), read_value(match[2], table.language)
    joined = one_of(["", *table.symbols.get("&", ())], table.language)
    named = (*minutes, *unit_words("min", table), *joined, *seconds, *unit_words("s", table))
    return choice([named, (*minutes, *seconds)]), match.end()


def _feet(text: str, at: int, table: Speech) -> Found | None:
    if not (match := FEET.match(text, at)):
        return None
    feet, inches = number(match[1], table.language), read_value(match[2], table.language)
    named = (*feet, *unit_words("ft", table), *inches)
    return choice([named, (*named, *unit_words("in", table)), (*feet, *inches)]), match.end()


def _prime(text: str, at: int, table: Speech) -> Found | None:
    """ "5'", unless it closes a quotation: feet or minutes."""
    match = PRIME.match(text, at)
    if not match or len(re.findall(r"(?<!\w)'", text[:at])) % 2:
        return None
    feet, minutes = unit_words("ft", table), unit_words("min", table)
    return (*number(match[1], table.language), *choice([feet, minutes])), match.end()


def _arc(text: str, at: int, table: Speech) -> Found | None:
    """ "45°30'": an angle, or a place on earth."""
    if not (match := ARC.match(text, at)):
        return None
    reading = (*number(match[1], table.language), *unit_words("°", table))
    reading += (*number(match[2], table.language), *unit_words("min", table))
    if match[3]:
        reading += (*read_value(match[3], table.language), *unit_words("s", table))
    return reading, match.end()


def _inches(text: str, at: int, table: Speech) -> Found | None:
    """A quotation mark after a number, unless it closes a quotation."""
    match = INCHES.match(text, at)
    if not match or text.count('"', 0, at) % 2:
        return None
    value = read_value(match[1], table.language)
    if "/" in match[1]:
        value = (*value, *one_of(["", *table.of_unit], table.language))
    return (*value, *unit_words("in", table)), match.end()


def _days(text: str, at: int, table: Speech) -> Found | None:
    """ "Mon-Fri", "Jan.-Mar.": from one day or month to another."""
    pattern, names = _named_ranges(table.language)
    if not (match := pattern.match(text, at)):
        return None
    words = one_of(["", *table.to], table.language)
    start = one_of(table.range_start, table.language)
    return (*start, *_name(match[1], names), *words, *_name(match[2], names)), match.end()


def _letters(text: str, at: int, table: Speech) -> Found | None:
    """ "A-Z"."""
    if not (match := LETTERS.match(text, at)):
        return None
    words = one_of(["", *table.to], table.language)
    ends = (said(match[n], table.language) for n in (1, 2))
    return (*next(ends), *words, *next(ends)), match.end()


def _between_letters(text: str, at: int, table: Speech) -> Found | None:
    """ "B2B": "b to b"."""
    if not (match := BETWEEN_LETTERS.match(text, at)):
        return None
    one, other = (said(match[n], table.language) for n in (1, 2))
    return (*one, *choice([number("2", table.language), "to", "two"]), *other), match.end()


def _bare_unit(text: str, at: int, table: Speech) -> Found | None:
    """ "in km/h": a unit with a stroke, without a number."""
    if not (match := _stroke_units(table.language).match(text, at)):
        return None
    return unit_words(match[0], table), match.end()


_READERS: tuple[Callable[[str, int, Speech], Found | None], ...] = (
    _lap, _feet, _prime, _arc, _inches, _days, _letters, _between_letters, _bare_unit
)  # fmt: skip


def has_named_range(text: str, language: str) -> bool:
    """Whether "Mon-Fri" or "A-Z" stands in a text."""
    return any(p.search(text) for p in (_named_ranges(language)[0], LETTERS))


def unit_words(symbol: str, table: Speech) -> Reading:
    """The words of a unit alone."""
    patterns = table.units.get(symbol, (symbol,))
    return one_of([pattern.replace("{0}", "") for pattern in patterns], table.language)


def _name(written: str, names: dict[str, list[str]]) -> Reading:
    return choice(names[written.rstrip(".").casefold()])


@lru_cache(maxsize=128)
def _named_ranges(language: str) -> tuple[re.Pattern[str], dict[str, list[str]]]:
    """A pattern of two names with a dash, and name -> its readings."""
    table = speech(language)
    short = {key.casefold(): [audible(full, language)] for key, full in table.short_dates.items()}
    every = {
        name.rstrip(".").casefold(): [audible(one, language) for one in (names[0], name)]
        for names in (*table.weekdays, *table.months)
        for name in names
        if name.rstrip(".")
    }
    every |= {name: [*short[name], name] for name in short}
    for said_as in every.values():  # "segunda" of "segunda-feira"
        said_as += [one.split()[0] for one in said_as if " " in one]
    names = "|".join(re.escape(name) for name in sorted(every, key=len, reverse=True))
    one = rf"((?:{names})\.?)"
    return re.compile(rf"(?<!\w){one}{DASH}{one}(?!\w)", re.IGNORECASE), every


@lru_cache(maxsize=128)
def _stroke_units(language: str) -> re.Pattern[str]:
    symbols = [re.escape(symbol) for symbol in speech(language).units if "/" in symbol]
    return re.compile(
        rf"(?<![\w/])(?:{'|'.join(sorted(symbols, reverse=True)) or '(?!)'})(?![\w/])"
    )
