"""Amounts: numbers with a sign, a fraction, a range, a scale, a currency or a unit.

"$5 million" is said "five million dollars", "10,50 €" "zehn Euro fünfzig", "3-5 km" "three to five
kilometers". A written symbol is always said.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from ttsrl.text.cldr import CURRENCIES
from ttsrl.text.languages import BY_CHARACTER
from ttsrl.text.lattice import Reading, choice
from ttsrl.text.numbers import minus, number, ordinal
from ttsrl.text.speech import Speech, speech
from ttsrl.text.spelling import audible
from ttsrl.text.values import fill, one_of, read_value, said

DASH = r"\s?[-\u2013\u2014~～〜]\s?"
MAY_BE_WORDS = frozenset(
    ["in", "A", "B", "C", "F", "J", "K", "L", "N", "T", "V", "W", "mi", "ha", "bar"]
)
"""Symbols that may be words or names if a space is before them."""
METRES = frozenset(["m", "м", "م", "米", "°", "°C"])
"""Units whose decimals may be said after them: "one metre eighty", "trente-sept degrés cinq"."""
MARKS = r"[\u0300-\u036f\u0900-\u0963\u0966-\u0dff\u0e31-\u0e4e]"
"""Vowel signs of Indian scripts and Thai are no word characters for `re`."""


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
        rf"(?:[\s-]?(?P<scale>{scales})(?![\^/]))?"
        rf"(?:\s?(?P<after>{signs}|{symbols}|{words})(?!(?<=[\dx\s]x)\s?\d))?"
        rf"(?P<per>(?(before)|(?<=[^\d\s]))/(?:{symbols}))?"
    )


def _number(table: Speech) -> str:
    mark = re.escape(table.decimal)
    groups = "|".join(rf"(?:{re.escape(between)}\d{{3}})+" for between in table.group)
    other = "," if table.decimal == "." else r"\."
    indian = r"\d{1,2}(?:,\d\d)+,\d{3}(?![\d,])"
    whole = rf"(?:\d{{1,3}}(?:{groups}|(?:{other}\d{{3}}){{2,}})(?!\d)|{indian}|\d+)"
    marks = rf"{mark}\d+|{other}(?:\d{{1,2}}|\d{{4,}})(?![\d.,]\d|\d)"
    return rf"(?:{whole}(?:(?:{marks})(?!{mark}\d))?|(?<![\w.]){mark}\d+)"


def _any(symbols: Iterable[str], language: str) -> str:
    """One of the symbols; no letter may follow one that ends in a letter."""
    other = r"(?![A-Za-z])" if language in BY_CHARACTER else rf"(?![^\W_]|{MARKS})"
    words = sorted((s for s in symbols if s), key=len, reverse=True)
    each = (re.escape(w) + (other if _is_letter(w[-1]) else "") for w in words)
    return "|".join(each) or r"(?!)"


def _is_letter(char: str) -> bool:
    """Of a script with spaces, its vowel signs included."""
    return char < "\u2e80" and (char.isalpha() or bool(re.match(MARKS, char)))


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
    core = _value(match, language)
    if until := match["until"]:
        core = _range(core, match, read_value(until, language), language)
    core = _scaled(core, match, language)
    if match["value"].isdigit() and _is_ordinal(match, table):
        core = choice([core, choice(ordinal(match["value"], language))])
    sign = _sign(match["sign"] or match["sign2"], language)
    readings = [_named((*sign, *core), match, language)]
    readings += _each_named(sign, match, language)
    readings += _halves_after(sign, match, language)
    if sign and match["sign"] != "+" and "°" in (match["after"] or ""):
        warm = {"x": _named(core, match, language)}
        readings += [fill(template, warm, language) for template in table.below_zero]
    per = _per(match["per"][1:], language) if match["per"] else ()
    return (*choice(readings), *per)


def _value(match: re.Match[str], language: str) -> Reading:
    """Of "$3,000" in Spanish both numbers; after a fraction, perhaps "of a"."""
    table, value = speech(language), match["value"]
    reading = read_value(value, language)
    if match["before"] and re.fullmatch(rf"[1-9]\d{{0,2}}[{table.group_too or '!'}]\d{{3}}", value):
        return choice([number(re.sub(r"\D", "", value), language), reading])
    if (
        "/" in value
        and table.of_unit
        and re.compile(r"\s*[^\W\d]").match(match.string, match.end("value"))
    ):
        return (*reading, *one_of(["", *table.of_unit], language))
    return reading


def _is_ordinal(match: re.Match[str], table: Speech) -> bool:
    """Whether the words around a number say that it may be one: "1984 году", "capítulo 4"."""
    before = match.string[: match.start()].rstrip()
    return bool(
        re.compile(table.ordinal_next).match(match.string, match.end("value"))
        or re.search(rf"(?<!\w)(?:{table.ordinal_after})$", before, re.IGNORECASE)
    )


def _scaled(core: Reading, match: re.Match[str], language: str) -> Reading:
    table, scale = speech(language), match["scale"]
    if not scale:
        return core
    if match["value"] == "1":
        core = choice([core, *table.one_scale])
    return (*core, *one_of(table.scales[scale], language))


def _each_named(sign: Reading, match: re.Match[str], language: str) -> list[Reading]:
    """ "10-15%" is also "ten percent to fifteen percent"; in some languages with counters, too."""
    if not match["until"]:
        return []
    ends = [
        _scaled(read_value(match[end], language), match, language) for end in ("value", "until")
    ]
    counter = match.string[match.end() : match.end() + 1]
    if match["after"] or match["before"]:
        ends = [_named(end, match, language) for end in ends]
    elif language in BY_CHARACTER and counter.isalpha():
        ends[0] = (*ends[0], *said(counter, language))
    elif not match["scale"]:
        return []
    return [_range((*sign, *ends[0]), match, ends[1], language)]


def _named(core: Reading, match: re.Match[str], language: str) -> Reading:
    """With its currency or unit."""
    signs = currency_signs(language)
    after = match["after"] or ""
    code = signs.get((match["before"] or "").strip()) or signs.get(after)
    if code := code or currency_words(language).get(after):
        return _money(core, code, match, language)
    return _measure(core, after, match, language) if after else core


def half_of_noun(match: re.Match[str], language: str) -> tuple[Reading, int] | None:
    """ "1,5 horas" is also "una hora y media"; readings and the position after the noun."""
    halves = speech(language).halves_after.get("5")
    value = re.fullmatch(r"(\d*[1-9]\d*)(?:[.,]5|\s1/2)", match["value"])
    noun = re.compile(r"\s([^\W\d_]+)").match(match.string, match.end())
    if not halves or not value or not noun or match["until"] or match["after"] or match["scale"]:
        return None
    word = audible(noun[1], language)
    one = choice([word, word.removesuffix("s")]) if value[1] == "1" else (word,)
    half = (*read_value(value[1], language), *one, *one_of(halves, language))
    return choice([(*read_amount(match, language), word), half]), noun.end()


def _halves_after(sign: Reading, match: re.Match[str], language: str) -> list[Reading]:
    """ "2,5 millones" is also "dos millones y medio": a part that is said after its noun."""
    table = speech(language)
    value = re.fullmatch(r"(\d*[1-9]\d*)[.,](\d+)", match["value"])
    if not value or match["until"] or value[2] not in table.halves_after:
        return []
    whole = _scaled((*sign, *read_value(value[1], language)), match, language)
    half = one_of(table.halves_after[value[2]], language)
    if match["scale"]:
        return [_named((*whole, *half), match, language)]
    return [(*_named(whole, match, language), *half)]


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
    first, last = match["value"], match["until"]
    digits = re.sub(r"\D", "", first + last)
    telephone = len(digits) in range(6, 12) and len(digits) != 8
    score = _may_be_score(match)
    if match["dash"].strip() in "-\u2013" and (telephone or score):
        words.append("")  # "555-1234", "fifty-fifty", "three two"
    if match["dash"] != match["dash"].strip() or _is_sum(match):
        words += table.minus
    if score and last == "0":
        until = choice([until, *(audible(word, language) for word in table.score_zero)])
    between = (*one_of(table.range_start, language), *core, *one_of(words or [""], language))
    if score and first == last:
        both = [fill(template, {"c": core}, language) for template in table.score_all]
        return choice([(*between, *until), *both])
    return (*between, *until)


def _is_sum(match: re.Match[str]) -> bool:
    return match.string[match.end() :].lstrip()[:1] == "="


def _may_be_score(match: re.Match[str]) -> bool:
    """A range goes up: "3-2" and "3-3" are none."""
    first, last = match["value"], match["until"]
    short = (
        not _is_sum(match)
        and first.isdigit()
        and last.isdigit()
        and max(len(first), len(last)) <= 3
    )
    return short and int(first) >= int(last)


def _money(core: Reading, code: str, match: re.Match[str], language: str) -> Reading:
    table = speech(language)
    word = match["after"] in currency_words(language)
    names = one_of([match["after"]] if word else table.currencies[code], language)
    readings: list[str | Reading] = []
    value, cents = match["value"], table.cents.get(code, ())
    whole = not (match["until"] or match["scale"] or "/" in value)
    if whole and cents and (parts := _hundredths(value, bool(table.dimes.get(code)))):
        amount, hundredth = parts
        sign = _sign(match["sign"] or match["sign2"], language)
        minor = number(hundredth.lstrip("0") or "0", language)
        count = choice(
            [read_value(amount or "0", language), *(table.one_scale if amount == "1" else ())]
        )
        before = (*sign, *count, *names)
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
            shorter = (*sign, *read_value(re.sub(r"0$", "", value), language), *names)
            return choice([*readings, (*core, *names), shorter])
    return choice([*readings, (*core, *names)])


def _hundredths(value: str, tenths: bool) -> tuple[str, str] | None:
    """Whole and hundredths of a price; `tenths`: "3.5" is one, too."""
    parts = re.fullmatch(r"(.*)[.,](\d\d?)", value)
    if not parts or (len(parts[2]) == 1 and not tenths):
        return None
    return parts[1], parts[2].ljust(2, "0")


def _measure(core: Reading, symbol: str, match: re.Match[str], language: str) -> Reading:
    table = speech(language)
    readings = _in_units(core, table.units[symbol], language)
    if symbol in METRES and (parts := re.fullmatch(r"(\d+)[.,](\d\d?)", match["value"])):
        readings += _metres(parts[1], parts[2], table.units[symbol], language)
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


def _metres(whole: str, part: str, patterns: Iterable[str], language: str) -> list[Reading]:
    """ "1,80 m" is also "one metre eighty"."""
    wholes = [number(whole, language), *([()] if whole == "1" else [])]
    parts = [number(part, language), number(part.ljust(2, "0"), language)]
    if language in BY_CHARACTER:
        parts.append(number(part.rstrip("0") or "0", language))
    joined = one_of(["", *speech(language).cents_joined], language)
    return [
        (*reading, *joined, *choice(parts))
        for number_ in wholes
        for reading in _in_units(number_, patterns, language)
    ]


def _per(symbol: str, language: str) -> Reading:
    table = speech(language)
    words = [p.replace("{0}", "") for p in table.units[symbol]]
    return (*one_of(table.per or ("",), language), *one_of(words, language))
