"""Digits with a mark that says what they are: 21st, 1990s, 555-867-5309, 2.0.1, 2h30."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from ttsrl.text.compounds import Found, unit_words
from ttsrl.text.lattice import Reading, choice, expansions
from ttsrl.text.numbers import number, ordinal
from ttsrl.text.speech import Speech, speech
from ttsrl.text.spelling import audible
from ttsrl.text.values import one_of

GLUED = re.compile(r"(?<![\d.,])(\d{1,3})\s?(h|m)\s?(\d{2})(?![\w.,:/])(?:\s?mi?n\b\.?)?")
TELEPHONE = re.compile(
    r"(?P<plus>\+)?(?P<groups>(?:\d{1,4}\s)?(?:\(\d{2,5}\)\s?)?(?:\d{1,4}\s){0,2}"
    r"\d{1,4}(?:[-\u2013]\d{1,4}){2,}|(?:\d{1,4}\s)?\(\d{2,5}\)\s?\d{2,4}[-\u2013\s]\d{2,4})(?![\d-])"
    r"|(?P<dots>\d\d(?:\.\d\d){4})(?![.\d])"
)
VERSION = re.compile(r"\d+(?:\.\d+){2,}(?!\d)")


def marked(text: str, at: int, language: str) -> Found | None:
    """What begins at that position; None if it is nothing of this kind."""
    for read in _READERS:
        if found := read(text, at, speech(language)):
            return found
    return None


def _mixed_units(text: str, at: int, table: Speech) -> Found | None:
    """ "2h30", "1m80", where that is not a time of day."""
    if not (match := GLUED.match(text, at)):
        return None
    reading = (*number(match[1], table.language), *unit_words(match[2], table))
    joined = one_of(["", *table.symbols.get("&", ())], table.language)
    reading += (*joined, *number(match[3], table.language))
    if match[2] == "h":
        reading += choice([(), unit_words("min", table)])
    return reading, match.end()


def _ordinal(text: str, at: int, table: Speech) -> Found | None:
    if not table.ordinal or not (match := _ordinals(table.language).match(text, at)):
        return None
    digits = re.sub(r"\D", "", match[1])
    readings = choice(ordinal(digits, table.language))
    if match[0].endswith("."):
        readings = choice([readings, number(digits, table.language)])
    if match[0].endswith("°"):
        degrees = one_of(table.units["°"], table.language)
        readings = choice([readings, (*number(digits, table.language), *degrees)])
    until = re.compile(r"[-\u2013](?=\d)").match(text, match.end())
    if until and (other := _ordinal(text, until.end(), table)):
        return (*readings, *one_of(table.to or [""], table.language), *other[0]), other[1]
    return readings, match.end()


@lru_cache(maxsize=128)
def _ordinals(language: str) -> re.Pattern[str]:
    table = speech(language)
    groups = rf"\d{{1,3}}(?:[{re.escape(table.group)}]\d{{3}})+" if table.group else "(?!)"
    return re.compile(rf"({groups}|\d+)(?:{table.ordinal})")


def _decade(text: str, at: int, table: Speech) -> Found | None:
    """ "the 1990s": the last word of the year is in the plural."""
    if not table.decade_mark:
        return None
    pattern = re.compile(rf"((?:\d\d)?\d0)(?:{table.decade_mark})")
    if not (match := pattern.match(text, at)):
        return None
    years = expansions(number(match[1], table.language))
    return choice(
        [re.sub(p, r, year) for year in years for p, r in table.decade if re.search(p, year)]
    ), match.end()


def _telephone(text: str, at: int, table: Speech) -> Found | None:
    if not (match := TELEPHONE.match(text, at)):
        return None
    if match["dots"]:
        points = one_of(["", *table.point.get(".", ())], table.language)
        return _joined(match["dots"].split("."), points, table), match.end()
    hyphen = one_of(["", *table.between.get("-", ())], table.language)
    reading = one_of(table.plus, table.language) if match["plus"] else ()
    for group in re.findall(r"\(?\d+(?:[-\u2013]\d+)*", match["groups"]):
        reading += _joined(re.findall(r"\d+", group), hyphen, table)
    return reading, match.end()


def _version(text: str, at: int, table: Speech) -> Found | None:
    """A version or an internet address: "2.0.1"."""
    match = VERSION.match(text, at)
    grouped = "." in table.group and match and re.fullmatch(r"\d{1,3}(\.\d{3})+", match[0])
    if not match or grouped:
        return None
    points = [*table.point.get(".", ()), *table.in_addresses.get(".", ())] or [""]
    reading = _joined(match[0].split("."), one_of(points, table.language), table)
    if re.fullmatch(r"\d{1,3}(\.\d{3}){2,}", match[0]):
        reading = choice([reading, number(match[0].replace(".", ""), table.language)])
    return reading, match.end()


def _joined(digits: list[str], mark: Reading, table: Speech) -> Reading:
    reading = number(digits[0], table.language)
    for piece in digits[1:]:
        reading += (*mark, *number(piece, table.language))
    return reading


def _short_date(text: str, at: int, table: Speech) -> Found | None:
    """ "dez.": only with its dot, which may also end a sentence."""
    if not (match := _short_dates(table.language).match(text, at)):
        return None
    literal, full = match[1], table.short_dates[match[1]]
    return choice([audible(full, table.language), audible(literal, table.language)]), match.end()


@lru_cache(maxsize=128)
def _short_dates(language: str) -> re.Pattern[str]:
    names = "|".join(map(re.escape, speech(language).short_dates)) or "(?!)"
    return re.compile(rf"(?<!\w)({names})\.(?!\w)")


_READERS: tuple[Callable[[str, int, Speech], Found | None], ...] = (
    _mixed_units,
    _ordinal,
    _decade,
    _telephone,
    _version,
    _short_date,
)
