"""How a language says what is not written in letters: its table, completed from Unicode's CLDR.

`tables/CODE.toml` has what a person had to write down; units, currencies, months and the words of
numbers come from CLDR (babel, unicode-rbnf), also for languages without a table. The keys of a
table are the fields of `Speech`; `base` names a table of which it is a variant.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from ttsrl.text.cldr import of_cldr
from ttsrl.text.spelling import TABLES


@dataclass(frozen=True)
class Speech:
    """One language. Lists of words go from the usual to the rare; all are right."""

    language: str
    numbers: Sequence[str] = ()
    """CLDR locales whose number words are right, "de" and "de_CH"."""
    number_variants: Sequence[tuple[str, str]] = ()
    """Regular expression and replacement: another way to say a number, from its words."""
    decimal: str = "."
    group: str = ","
    """Characters between groups of three digits."""
    group_too: str = ""
    """The same, of a part of those who speak the language: "3,000" in Mexico."""
    point: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Decimal mark -> its words."""
    zero: Sequence[str] = ()
    """Words for 0 in a string of digits, a telephone number."""
    one: Sequence[str] = ()
    repeated: Mapping[str, str] = field(default_factory=dict)
    """"2" -> "double {d}": a digit that comes twice, thrice."""
    pairs: Sequence[str] = ()
    """Words between two digits and a lower one: "nineteen oh five"; empty: not said in pairs."""
    hundreds: Sequence[str] = ()
    """Templates of whole hundreds above a thousand with {c}: "nineteen hundred"."""
    minus: Sequence[str] = ()
    plus: Sequence[str] = ("plus",)
    to: Sequence[str] = ()
    """Between the ends of a range."""
    range_start: Sequence[str] = ("",)
    """Before a range, where it may be said: "from ten to fifteen"."""
    score_zero: Sequence[str] = ()
    """Words for the 0 of "4-0"."""
    score_all: Sequence[str] = ()
    """Templates of "3-3" with {c}."""
    below_zero: Sequence[str] = ()
    """Templates of a temperature below zero with {x}, the same above zero."""
    scales: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """"million" after a number, between it and its currency."""
    one_scale: Sequence[str] = ()
    """Words for 1 before a scale: "a million"."""
    symbols: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Symbol -> its words, wherever it stands."""
    before_number: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The same, if a number follows: "#", "~"."""
    between: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The same, between numbers, letters or brackets: "/", "*", ":"."""
    powers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Exponent -> words after the base: "squared"."""
    power: Sequence[str] = ()
    """Templates of any other exponent with {c}, {o}."""
    in_addresses: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Character of an e-mail or web address -> its words."""
    currencies: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """ISO 4217 -> names; CLDR's where the table has none."""
    cents: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """ISO 4217 -> names of its hundredth part."""
    dimes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """ISO 4217 -> names of its tenth part."""
    cents_joined: Sequence[str] = ("",)
    """Between the two: "ten dollars (and) fifty cents"."""
    signs: Mapping[str, str] = field(default_factory=dict)
    """Signs of currencies that mean another one here than in `CURRENCIES`."""
    units: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Symbol -> readings, with {0} where the number is not before the word."""
    per: Sequence[str] = ()
    """Between two units: "dollars per kilogram"."""
    ordinal: str = ""
    """Regular expression of what follows the digits of an ordinal."""
    ordinal_next: str = "(?!)"
    """Regular expression of what follows a bare number that may be an ordinal: "1984 году"."""
    ordinal_after: str = "(?!)"
    """Regular expression of the word before such a number: "capítulo 4"."""
    ordinals: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Number -> its ordinals beside CLDR's."""
    ordinal_said: Sequence[str] = ()
    """Templates of an ordinal with {c}, the cardinal: languages in which CLDR has none."""
    roman: Sequence[str] = ("{o}", "{c}")
    """Templates of a Roman numeral with {c}, the cardinal, or {o}, an ordinal."""
    roman_ordinal: str = "(?!)"
    """Regular expression of what makes a Roman numeral an ordinal: the e of "XIXe"."""
    fractions: Mapping[str, Sequence[str]] = field(default_factory=dict)
    fraction: Sequence[str] = ()
    """Templates of n/m with {n}, {m}, and {o}, the ordinal of m."""
    mixed: Sequence[str] = ()
    """Between a number and a fraction: "three and a half"."""
    decimals: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Decimal number -> its readings beside the digits: 1.5 is "anderthalb"."""
    halves: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Digits after the decimal mark -> templates with {c}, the whole, or {n}, the next one."""
    halves_after: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The same, for words after scale or unit: "y medio" of "dos millones y medio"."""
    of_unit: Sequence[str] = ()
    """Between a fraction and its unit: "five eighths of an inch"."""
    tenths: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Number of digits -> words of such a decimal fraction; "0": after the whole."""
    time: Sequence[str] = ()
    """Templates of a time of day with {h}; {m}, minutes; {z}, the same with "oh" below ten; {n},
    the next hour; {o}, {q}, ordinals of both in 12 hours, {k} in 24; {r},
    minutes until the next."""
    full_hour: Sequence[str] = ()
    hour_alone: Mapping[str, str] = field(default_factory=dict)
    """Word after an hour without minutes -> template of both with {h}: "19 Uhr"."""
    at: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Minute -> templates: "quarter past {h}"."""
    past: Sequence[str] = ()
    until: Sequence[str] = ()
    """Templates up to and after the half hour: "{m} past {h}", "{r} to {n}"."""
    seconds: Sequence[str] = ()
    """Templates of what follows: "{z}", "and {s} seconds"."""
    afternoon: Sequence[str] = ()
    """Templates with {t}, the time of 12 hours: "{t} p m"."""
    durations: Sequence[str] = ()
    """Templates of hours, minutes and seconds in one: "{h} hours {m} minutes and {s} seconds"."""
    clock: str = ""
    """Regular expression of what may follow a time and is said by the templates."""
    hours: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Hour -> names beside the number: "noon"."""
    hour_mark: str = ":"
    """Characters between hours and minutes."""
    date: Sequence[str] = ()
    """Templates of a date with {d}, cardinal; {o}, ordinal; {b}, month; {m}, {p}, the same as the
    day's; {y}."""
    date_order: str = "dmy"
    of: str = "(?!)"
    """Regular expression of what may stand between a day and its month."""
    day_month: Sequence[str] = ()
    """Templates of "5 March" and "March 5" with {d}, {o} and {b}, in the order of the text."""
    month_day: Sequence[str] = ()
    months: Sequence[Sequence[str]] = ()
    """Names of each month, the full one first."""
    weekdays: Sequence[Sequence[str]] = ()
    """Names of each day from Monday on, the full one first."""
    short_dates: Mapping[str, str] = field(default_factory=dict)
    """Abbreviation of a month or day without its dot -> the full name."""
    decade: Sequence[tuple[str, str]] = ()
    """Regular expression and replacement: from the words of 1990 to those of 1990s."""
    decade_mark: str = ""
    abbreviations: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """As written, dots included -> readings; a final dot may be missing."""
    words: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Word in lower case -> its readings and spellings."""
    letters: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Letter -> its names as a recogniser may write them: "eff bee eye" for FBI."""
    endings: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Ending after an apostrophe -> its readings: "'ll" -> "will"."""
    endings_kept: Sequence[str] = ()
    """Endings that are usually just that: the s of a genitive."""
    stems: Mapping[str, str] = field(default_factory=dict)
    """Word before such an ending -> what it stands for: "ca" of "can't"."""
    suffixes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """End of a compound -> what it is short for: "str" of "Hauptstr."."""
    same: Sequence[Sequence[str]] = ()
    """Spellings of one word; each may stand for each."""
    fillers: Sequence[Sequence[str]] = ()
    """Spellings of one filler. A transcript may leave it out; nobody gets one for nothing."""


@lru_cache(maxsize=128)
def speech(language: str) -> Speech:
    """The language's table, completed from CLDR; nearly empty for one that CLDR lacks, too."""
    path = TABLES / f"{language}.toml"
    table = tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if base := table.pop("base", None):
        common = tomllib.loads((TABLES / f"{base}.toml").read_text(encoding="utf-8"))
        table = _completed(common, table)
    return Speech(language=language, **_completed(of_cldr(language), table))


def _completed(common: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Keys of both; of a key that is a table in both, the entries of both."""
    merged = {
        key: common[key] | value if isinstance(value, dict) and key in common else value
        for key, value in own.items()
    }
    return common | merged
