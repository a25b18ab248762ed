"""Amounts: numbers with a sign, a fraction, a range, a scale, a currency or a unit.

"$5 million" is said "five million dollars", "10,50 €" "zehn Euro fünfzig", "3-5 km" "three to five
kilometers". A written symbol is always said.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

from ttsrl.text.cldr import CURRENCIES
from ttsrl.text.languages import BY_CHARACTER
from ttsrl.text.lattice import Reading, choice
from ttsrl.text.numbers import cardinal, decimal, minus, number, ordinal
from ttsrl.text.speech import Speech, speech
from ttsrl.text.spelling import audible

DASH = r"\s?[-\u2013\u2014~～〜]\s?"
MAY_BE_WORDS = frozenset(
    ["in", "A", "B", "C", "F", "J", "K", "L", "N", "T", "V", "W", "mi", "ha", "bar"]
)
"""Symbols that may be words or names if a space is before them."""


def said(words: str, language: str) -> Reading:
    """One string as it is compared."""
    return (text,) if (text := audible(words, language)) else ()


def one_of(words: Iterable[str], language: str) -> Reading:
    """A choice of strings as they are compared; a symbol without words stays what it is."""
    return choice([audible(text, language) or text.strip() for text in words])


@lru_cache(maxsize=128)
def amount_pattern(language: str) -> re.Pattern[str]:
    """Matches an amount at its start; `read_amount` reads the match."""
    table = speech(language)
    plain = _number(table)
    value = rf"(?:\d+/\d+(?![\d/])|{plain}(?:\s\d{{1,2}}/\d{{1,3}}(?![\d/]))?)"
    signs = _any(currency_signs(language), language)
    before = "|".join(map(re.escape, currency_signs(language))) or "(?!)"
    symbols = _any(table.units, language)
    words = _any(currency_words(language), language)
    scales = _any(table.scales, language)
    return re.compile(
        rf"(?P<sign>[-\u2013+±](?=[\d.,]|\s?(?:{before})))?"
        rf"(?P<before>(?:{before})\s?)?"
        rf"(?P<sign2>[-\u2013])?"
        rf"(?P<value>{value})"
        rf"(?:(?P<dash>{DASH})(?:{before})?(?P<until>{value})(?![-\u2013]?\d|[.:/]\d))?"
        rf"(?:\s?(?P<scale>{scales})(?![\^/]))?"
        rf"(?:\s?(?P<after>{signs}|{symbols}|{words})(?P<per>/(?:{symbols}))?)?"
    )


def _number(table: Speech) -> str:
    mark = re.escape(table.decimal)
    groups = "|".join(rf"(?:{re.escape(between)}\d{{3}})+" for between in table.group)
    whole = rf"(?:\d{{1,3}}(?:{groups})(?!\d)|\d+)"
    other = "," if table.decimal == "." else r"\."
    marks = rf"{mark}\d+|{other}(?:\d{{1,2}}|\d{{4,}})(?![\d.,]\d|\d)"
    return rf"(?:{whole}(?:(?:{marks})(?!{mark}\d))?|(?<![\w.]){mark}\d+)"


def _any(symbols: Iterable[str], language: str) -> str:
    """One of the symbols; no letter may follow one that ends in a letter."""
    other = r"(?![A-Za-z])" if language in BY_CHARACTER else r"(?![^\W_])"
    words = sorted((s for s in symbols if s), key=len, reverse=True)
    each = (re.escape(w) + (other if w[-1].isalpha() and w[-1] < "\u2e80" else "") for w in words)
    return "|".join(each) or r"(?!)"


@lru_cache(maxsize=128)
def currency_signs(language: str) -> dict[str, str]:
    """Sign -> ISO 4217, of the currencies that have a name in the language."""
    table = speech(language)
    signs = {sign: code for code, all_of_it in CURRENCIES.items() for sign in all_of_it.split()}
    signs |= {code: code for code in CURRENCIES} | dict(table.signs)
    return {sign: code for sign, code in signs.items() if code in table.currencies}


@lru_cache(maxsize=128)
def currency_words(language: str) -> dict[str, str]:
    """Name of a currency in one word -> ISO 4217, where it has cents: "19,99 Euro" is an amount."""
    table = speech(language)
    return {
        spelled: code
        for code in reversed([*table.cents])
        for name in table.currencies.get(code, ())
        if name.isalpha() and len(name) > 1
        for spelled in (name, name.capitalize())
    }


def read_amount(match: re.Match[str], language: str) -> Reading:
    """The readings of a match of `amount_pattern`."""
    table = speech(language)
    signs = currency_signs(language)
    after = match["after"] or ""
    code = signs.get((match["before"] or "").strip()) or signs.get(after)
    code = code or currency_words(language).get(after)
    core = read_value(match["value"], language)
    if until := match["until"]:
        core = _range(core, match, read_value(until, language), language)
    if scale := match["scale"]:
        if match["value"] == "1":
            core = choice([core, *table.one_scale])
        core = (*core, *one_of(table.scales[scale], language))
    core = (*_sign(match["sign"] or match["sign2"], language), *core)
    if match["value"].isdigit() and re.compile(table.ordinal_next).match(match.string, match.end()):
        core = choice([core, choice(ordinal(match["value"], language))])
    if code:
        core = _money(core, code, match, language)
    elif after:
        core = _measure(core, after, match, language)
    if per := match["per"]:
        core = (*core, *_per(per[1:], language))
    return core


def read_value(text: str, language: str) -> Reading:
    """A number without signs: "1,250.5", "3 1/2", "1/2"."""
    table = speech(language)
    if match := re.fullmatch(r"(?:(.*?)\s)?(\d+)/(\d+)", text):
        whole, above, below = match.groups()
        part = read_fraction(above, below, language, alone=not whole)
        if not whole:
            return part
        joined = one_of(table.mixed or [""], language)
        known = [audible(words, language) for words in table.fractions.get(text, ())]
        return choice([*known, (*read_value(whole, language), *joined, *part)])
    bare = re.sub(rf"[{re.escape(table.group)}](?=\d{{3}}(?!\d))", "", text)
    if match := re.fullmatch(r"(\d*)([.,])(\d+)", bare):
        return decimal(*match.groups(), language)
    whole = number(bare, language)
    if " " in text:  # perhaps a telephone number, in groups
        groups = [number(group, language) for group in re.findall(r"\d+", text)]
        return choice([whole, tuple(part for group in groups for part in group)])
    return whole


def read_fraction(above: str, below: str, language: str, alone: bool) -> Reading:
    """A fraction of whole numbers; one that is none of the usual ones may be a pair of numbers."""
    table = speech(language)
    readings: list[str | Reading] = []
    readings += [audible(t, language) for t in table.fractions.get(f"{above}/{below}", ())]
    for template in table.fraction:
        words = {
            "n": choice(cardinal(above, language)),
            "m": choice(cardinal(below, language)),
            "o": choice(ordinal(below, language)),
        }
        readings.append(fill(template, words, language))
    if alone:
        silent = ("",) if len(above + below) > 2 else ()  # "nine eleven", "twenty-four seven"
        slash = [*filter(None, table.between.get("/", ("/",))), *silent]
        pair = (*number(above, language), *one_of(slash, language), *number(below, language))
        readings.append(pair)
    return choice(readings)


def fill(template: str, words: Mapping[str, Reading], language: str) -> Reading:
    """A template with its {names} replaced by readings."""
    reading: Reading = ()
    for literal, name in re.findall(r"([^{]*)(?:\{(\w+)\})?", template):
        reading += said(literal, language)
        if name:
            reading += words[name]
    return reading


def _sign(sign: str | None, language: str) -> Reading:
    table = speech(language)
    match sign:
        case None:
            return ()
        case "+":
            return one_of(table.plus, language)
        case "±":
            return one_of(table.symbols.get("±", ("",)), language)
        case _:
            return one_of(table.minus or [minus(language) or "-"], language)


def _range(core: Reading, match: re.Match[str], until: Reading, language: str) -> Reading:
    table = speech(language)
    words = [*table.to]
    digits = re.sub(r"\D", "", match["value"] + match["until"])
    telephone = len(digits) in range(6, 12) and len(digits) != 8
    if match["dash"].strip() in "-\u2013" and (telephone or match["value"] == match["until"]):
        words.append("")  # "555-1234", "fifty-fifty"
    if match["dash"] != match["dash"].strip():
        words += table.minus
    return (*core, *one_of(words or [""], language), *until)


def _money(core: Reading, code: str, match: re.Match[str], language: str) -> Reading:
    table = speech(language)
    word = match["after"] in currency_words(language)
    names = one_of([match["after"]] if word else table.currencies[code], language)
    readings: list[str | Reading] = []
    value, cents = match["value"], table.cents.get(code, ())
    whole = not (match["until"] or match["scale"] or "/" in value)
    if whole and cents and (parts := re.fullmatch(r"(.*)[.,](\d\d)", value)):
        amount, hundredth = parts.groups()
        sign = _sign(match["sign"] or match["sign2"], language)
        minor = number(hundredth.lstrip("0") or "0", language)
        before = (*sign, *read_value(amount or "0", language), *names)
        joined = one_of(table.cents_joined, language)
        named = choice([one_of(cents, language), ()])
        if hundredth == "00":
            readings.append(before)
        else:
            readings.append((*before, *joined, *minor, *named))
            if not amount.strip("0"):
                readings.append((*sign, *minor, *one_of(cents, language)))
        if hundredth[1] == "0" and (dimes := table.dimes.get(code)):
            readings.append((*before, *number(hundredth[0], language), *one_of(dimes, language)))
        if hundredth[1] == "0" != hundredth[0]:
            shorter = (*sign, *read_value(value[:-1], language), *names)
            return choice([*readings, (*core, *names), shorter])
    return choice([*readings, (*core, *names)])


def _measure(core: Reading, symbol: str, match: re.Match[str], language: str) -> Reading:
    readings = _in_units(core, speech(language).units[symbol], language)
    spaced = match.string[match.start("after") - 1] == " "
    if symbol not in MAY_BE_WORDS:
        return choice(readings)
    as_word = (*core, audible(symbol, language))  # "5 in the room", "room 5C"
    return choice([as_word, *readings] if spaced else [*readings, as_word])


def _in_units(core: Reading, patterns: Iterable[str], language: str) -> list[Reading]:
    """One reading for each word that stands before the number."""
    by_start: dict[str, list[str]] = {}
    for pattern in patterns:
        start, _, end = pattern.rpartition("{0}")
        by_start.setdefault(start, []).append(end)
    return [
        (*said(start, language), *core, *one_of(ends, language)) for start, ends in by_start.items()
    ]


def _per(symbol: str, language: str) -> Reading:
    table = speech(language)
    words = [p.replace("{0}", "") for p in table.units[symbol]]
    return (*one_of(table.per or ("",), language), *one_of(words, language))
