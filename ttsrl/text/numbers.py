"""What the digits of a text may be said as: a number, a year, digit by digit, in pairs, an ordinal.

The words are those of Unicode's CLDR (unicode-rbnf), in every gender and case that it has; a
language's table adds other ways (`Speech.number_variants`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache

from unicode_rbnf import FormatPurpose, RbnfEngine
from unicode_rbnf.engine import RbnfError

from ttsrl.text.languages import BY_CHARACTER
from ttsrl.text.lattice import Reading, choice
from ttsrl.text.speech import speech
from ttsrl.text.spelling import audible

LONGEST = 15
"""Digits; a longer one is not a quantity (an account, a telephone) and is said digit by digit."""
NOT_SAID = re.compile("financial|days|2d-year|fraction|-ones$|-tens$|verbose|-latn")
"""CLDR's sets of rules for cheques, lunar calendars, and parts of others."""


@lru_cache(maxsize=8_192)
def cardinal(digits: str, language: str) -> tuple[str, ...]:
    """A quantity in words, the usual ones first; the digits themselves where CLDR has no words."""
    said = [*_spelled(digits, language, FormatPurpose.CARDINAL)]
    if len(digits) == 4 and language not in BY_CHARACTER:  # theirs lose a last 0; see `by_digit`
        said += _spelled(digits, language, FormatPurpose.YEAR)
    varied = _varied(said, language)
    if len(digits) > 3:  # Lithuanian rules of CLDR say 100,000 as 100
        thousands = cardinal(digits[:-3], language)
        varied = tuple(text for text in varied if text not in thousands)
    return varied or (digits,)


@lru_cache(maxsize=8_192)
def ordinal(digits: str, language: str) -> tuple[str, ...]:
    """The place in a row, in every gender and case that is known."""
    table = speech(language)
    said = [*table.ordinals.get(digits, ())]
    said += _spelled(digits, language, FormatPurpose.ORDINAL)
    said += [t.format(c=c) for t in table.ordinal_said for c in cardinal(digits, language)]
    return _varied(said, language) or cardinal(digits, language)


@lru_cache(maxsize=8_192)
def by_digit(digits: str, language: str) -> tuple[str, ...]:
    """One digit after the other, each 0 with the same word; doubles as "double five", too."""
    table = speech(language)
    zeros = table.zero or cardinal("0", language)[:1]
    ones = table.one or cardinal("1", language)[:1]
    said: list[str] = []
    for zero in zeros:
        for one in ones:
            words = {d: cardinal(d, language)[0] for d in set(digits)} | {"0": zero, "1": one}
            said.append(" ".join(words[d] for d in digits))
            if table.repeated:
                said.append(" ".join(_runs(digits, words, table.repeated)))
    return _audible(said, language)


@lru_cache(maxsize=8_192)
def number(digits: str, language: str) -> Reading:
    """Everything that bare digits may be."""
    if len(digits) > LONGEST or (len(digits) > 1 and digits[0] == "0"):
        said = [*by_digit(digits, language), *_in_groups(digits, language)]
        return choice([*said, *_whole_hours(digits, language)])
    said = [*cardinal(digits, language), *_in_pairs(digits, language)]
    if len(digits) > 1:
        said += by_digit(digits, language)
    if len(digits) > 5:
        said += _in_groups(digits, language)
    return choice(said)


@lru_cache(maxsize=8_192)
def decimal(whole: str, mark: str, fraction: str, language: str) -> Reading:
    """A number with a decimal fraction; `mark` is "." or ","."""
    table = speech(language)
    known = table.point.get(mark) or [word for words in table.point.values() for word in words]
    points = _audible(known or [_point(language) or mark], language)
    zeros = fraction[: len(fraction) - len(fraction.lstrip("0"))]
    rest = fraction[len(zeros) :]
    after = [*by_digit(fraction, language)]
    if rest and len(rest) <= 3:
        after += [" ".join([*by_digit(zeros, language)[:1], c]) for c in cardinal(rest, language)]
    wholes = choice([*cardinal(whole or "0", language), *(("",) if whole in ("", "0") else ())])
    plain = (*wholes, *choice(points), *choice(after))
    if not (parts := table.tenths.get(str(len(fraction)))) or not rest:
        return plain
    joined = _audible(table.tenths["0"], language)
    tenths = (
        *choice(joined),
        *choice(cardinal(rest, language)),
        *choice(_audible(parts, language)),
    )
    return choice([(*choice(cardinal(whole or "0", language)), *tenths), plain])


@lru_cache(maxsize=64)
def _point(language: str) -> str:
    """CLDR's word for the decimal mark: what it puts between the digits of 1.1."""
    return _but_one("1.1", language)


@lru_cache(maxsize=64)
def minus(language: str) -> str:
    """CLDR's word for the sign of -1; empty where it has none."""
    return _but_one("-1", language)


def _but_one(text: str, language: str) -> str:
    """CLDR's words for a number made of ones, without those for 1."""
    ones = {word for one in cardinal("1", language) for word in one.split()}
    words = _spelled(text, language, FormatPurpose.CARDINAL)
    said = audible(words[0], language) if words else ""
    if language in BY_CHARACTER:
        for one in ones:
            said = said.replace(one, "")
    return " ".join(word for word in said.split() if word not in ones)


def _spelled(digits: str, language: str, purpose: FormatPurpose) -> list[str]:
    said: dict[str, None] = {}
    for locale in speech(language).numbers:
        try:
            result = _rules(locale).format_number(digits, purpose)
        except (ValueError, RbnfError):  # no rules for this purpose, or for such a number
            continue
        said |= {
            text: None
            for name, text in result.text_by_ruleset.items()
            if not NOT_SAID.search(name) and not any(c.isdigit() for c in text)
        }
    return list(said)


@lru_cache(maxsize=64)
def _rules(locale: str) -> RbnfEngine:
    return RbnfEngine.for_language(locale)


def _varied(said: Iterable[str], language: str) -> tuple[str, ...]:
    """And in the other ways of the language's table."""
    all_of_them = dict.fromkeys(_audible(said, language))
    for pattern, replacement in speech(language).number_variants:
        all_of_them |= dict.fromkeys(re.sub(pattern, replacement, text) for text in all_of_them)
    return _audible(all_of_them, language)


def _audible(said: Iterable[str], language: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(audible(text, language) for text in said))


def _runs(digits: str, words: dict[str, str], repeated: Mapping[str, str]) -> Iterator[str]:
    for match in re.finditer(r"(\d)\1{0,2}", digits):
        yield repeated.get(str(len(match[0])), "{d}").format(d=words[match[1]])


def _in_pairs(digits: str, language: str) -> Iterator[str]:
    """ "nineteen oh five", "seven thirty nine": languages that say years like that."""
    table = speech(language)
    if not table.pairs or not 3 <= len(digits) <= 4:
        return
    high, low = digits[:-2], digits[-2:]
    for one in cardinal(high, language):
        if low == "00":
            yield from (t.format(c=one) for t in table.hundreds if high[-1] != "0")
        elif low[0] != "0":
            yield from (f"{one} {other}" for other in cardinal(low, language))
        else:
            yield from (
                f"{one} {zero} {other}"
                for zero in table.pairs
                for other in cardinal(low[1], language)
            )


def _whole_hours(digits: str, language: str) -> Iterator[str]:
    """ "0800": "oh eight hundred"."""
    table = speech(language)
    if table.hundreds and re.fullmatch(r"0[1-9]00", digits):
        for hour in cardinal(digits[1], language):
            for template in table.hundreds:
                yield from (f"{zero} {template.format(c=hour)}" for zero in table.pairs)


def _in_groups(digits: str, language: str) -> Iterator[str]:
    """A telephone number in pairs of digits."""
    if len(digits) % 2 or len(digits) > LONGEST:
        return
    zero = by_digit("0", language)[0]
    groups = [digits[i : i + 2] for i in range(0, len(digits), 2)]
    yield " ".join(
        f"{zero} {cardinal(group[1], language)[0]}"
        if group[0] == "0"
        else cardinal(group, language)[0]
        for group in groups
    )
