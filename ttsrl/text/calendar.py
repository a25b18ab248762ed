"""Times of day and dates: "10:30" is "half past ten", "5.3.2024" "fünfter März"."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from ttsrl.text.languages import BY_CHARACTER
from ttsrl.text.lattice import Reading, choice
from ttsrl.text.numbers import cardinal, number, ordinal
from ttsrl.text.speech import Speech, speech
from ttsrl.text.spelling import audible
from ttsrl.text.values import fill, one_of, said


@lru_cache(maxsize=128)
def time_pattern(language: str) -> re.Pattern[str]:
    """A time of day: hours, minutes, perhaps seconds, and what the language writes after it."""
    table = speech(language)
    end = "" if language in BY_CHARACTER else r"(?!\w)"
    clock = rf"(?P<clock>\s?(?:{table.clock}){end})?" if table.clock else ""
    return re.compile(
        rf"(?P<h>[01]?\d|2[0-4])(?:{table.hour_mark})(?P<m>[0-5]\d)(?:[:](?P<s>[0-5]\d))?"
        rf"(?![\d]|[.,:]\d){clock}"
    )


def read_time(match: re.Match[str], language: str) -> Reading:
    """The readings of a match of `time_pattern`."""
    table = speech(language)
    hour = int(match["h"])
    reading = _clock(hour, match, table)
    if hour > 12 and table.afternoon:
        later = {"t": _clock(hour - 12, match, table)}
        reading = choice([reading, *(fill(t, later, language) for t in table.afternoon)])
    return reading


@lru_cache(maxsize=128)
def hour_pattern(language: str) -> re.Pattern[str]:
    """An hour after noon without minutes, with the language's word: "19 Uhr"."""
    words = "|".join(map(re.escape, speech(language).hour_alone)) or "(?!)"
    return re.compile(rf"(?P<h>1[3-9]|2[0-4])\s?(?P<word>{words})(?!\w|\s?\d)")


def read_hour(match: re.Match[str], language: str) -> Reading:
    """The readings of a match of `hour_pattern`: "sieben Uhr abends", too."""
    table, hour = speech(language), int(match["h"])
    template = table.hour_alone[match["word"]]
    plain, later = (
        fill(template, {"h": choice(cardinal(str(h), language))}, language)
        for h in (hour, hour - 12)
    )
    return choice([plain, *(fill(t, {"t": later}, language) for t in table.afternoon)])


def _clock(hour: int, match: re.Match[str], table: Speech) -> Reading:
    language, minute = table.language, int(match["m"])
    words = {
        "h": _hour(hour, table),
        "n": _hour(hour % 12 + 1 if hour != 12 else 1, table),
        "m": choice(cardinal(str(minute), language)),
        "z": choice(_with_zero(match["m"], table)),
        "o": choice(ordinal(str(hour % 12 or 12), language)),
        "q": choice(ordinal(str(hour % 12 + 1), language)),
        "k": choice(ordinal(str(hour), language)),
        "r": choice(cardinal(str(60 - minute), language)),
    }
    templates = [*table.time] if minute else [*table.full_hour]
    if not minute and match.groupdict().get("clock"):  # a word that is written is said
        templates = [template for template in templates if template != "{h}"]
    readings = [fill(t, words, language) for t in templates or ("{h} {z}", "{h} {m}")]
    spoken = [*table.at.get(str(minute), ())]
    if minute:
        spoken += table.past if minute <= 30 else ()
        spoken += table.until if minute >= 30 else ()
    if hour > 12:  # "half past two"
        words["h"] = choice([words["h"], _hour(hour - 12, table)])
        words["n"] = choice([words["n"], _hour(hour + 1, table)])
    reading = choice([*readings, *(fill(template, words, language) for template in spoken)])
    if match["s"]:
        second = {
            "s": choice(cardinal(str(int(match["s"])), language)),
            "z": choice(_with_zero(match["s"], table)),
        }
        short = (*reading, *choice([fill(t, second, language) for t in table.seconds or ("{z}",)]))
        words["s"] = second["s"]
        reading = choice([short, *(fill(t, words, language) for t in table.durations)])
    return reading


def _hour(hour: int, table: Speech) -> Reading:
    names = [audible(name, table.language) for name in table.hours.get(str(hour), ())]
    return choice([*cardinal(str(hour), table.language), *names])


def _with_zero(minute: str, table: Speech) -> list[str]:
    """ "oh five": below ten with the 0."""
    bare = cardinal(str(int(minute)), table.language)
    if minute[0] != "0":
        return [*bare]
    zeros = table.pairs or table.zero or cardinal("0", table.language)[:1]
    return [f"{zero} {word}" for zero in zeros for word in bare]


@lru_cache(maxsize=128)
def date_pattern(language: str) -> re.Pattern[str]:
    """A date in digits."""
    short = r"|(?P<d3>\d{1,2})\.\s?(?P<m3>\d{1,2})\.(?!\d)"
    return re.compile(
        r"(?P<y1>\d{4})(?P<c1>[-/.])(?P<m1>\d{1,2})(?P=c1)(?P<d1>\d{1,2})(?![\d])"
        r"|(?P<a>\d{1,2})(?P<c2>[-/.])(?P<b>\d{1,2})(?P=c2)(?P<y2>\d{4}|\d{2})(?![\d]|[-/.]\d)"
        + (short if speech(language).ordinal.startswith("\\.") else "")
    )


def read_date(match: re.Match[str], language: str) -> Reading | None:
    """The readings of a match of `date_pattern`; None if it is no date."""
    table = speech(language)
    if day := match.groupdict().get("d3"):
        orders = [(day, match["m3"], "")]
    elif match["y1"]:
        orders = [(match["d1"], match["m1"], match["y1"])]
    else:
        day_first, month_first = (match["a"], match["b"]), (match["b"], match["a"])
        both = {"dmy": [day_first], "mdy": [month_first, day_first]}.get(table.date_order, [])
        orders = [(day, month, match["y2"]) for day, month in both]
    readings = [
        _date(day, month, year, template if year else template.replace("{y}", ""), table)
        for day, month, year in orders
        if 1 <= int(month) <= 12 and 1 <= int(day) <= 31
        for template in table.date or ("{d} {b} {y}", "{o} {b} {y}", "{d} {m} {y}", "{o} {p} {y}")
    ]
    return choice(readings) if readings else None


def _date(day: str, month: str, year: str, template: str, table: Speech) -> Reading:
    language = table.language
    d, m = str(int(day)), str(int(month))
    years: list[str | Reading] = [number(year or "0", language)]
    if len(year) == 2:
        years = [number(f"20{year}", language), number(f"19{year}", language), *years]
    words = {
        "d": choice(cardinal(d, language)),
        "o": choice(ordinal(d, language)),
        "m": choice(cardinal(m, language)),
        "p": choice(ordinal(m, language)),
        "b": one_of(table.months[int(m) - 1], language) if table.months else (m,),
        "y": choice(years) if year else (),
    }
    return fill(template, words, language)


@lru_cache(maxsize=128)
def month_patterns(language: str) -> tuple[re.Pattern[str], re.Pattern[str]] | None:
    """A day before a month's name, and after it; None where the table has no such templates."""
    table = speech(language)
    if not table.day_month and not table.month_day:
        return None
    names = sorted({name for month in table.months for name in month}, key=len, reverse=True)
    name = rf"(?P<b>{'|'.join(map(re.escape, names))})\.?(?!\w)"
    mark = rf"(?:{table.ordinal})?" if table.ordinal else ""
    day = r"(?P<d>[12]?\d|3[01]|0[1-9])"
    return (
        re.compile(rf"{day}{mark}\s(?P<of>(?:{table.of})\s)?{name}", re.IGNORECASE),
        re.compile(rf"{name}\s(?:the\s)?{day}{mark}(?!\w|[.,:/-]\d)", re.IGNORECASE),
    )


def read_day(match: re.Match[str], templates: Sequence[str], language: str) -> Reading:
    """The readings of a match of `month_patterns`."""
    day = str(int(match["d"]))
    table = speech(language)
    months = [
        name
        for names in table.months
        if match["b"].lower() in [n.lower() for n in names]
        for name in names
    ]
    words = {
        "d": choice(cardinal(day, language)),
        "o": choice(ordinal(day, language)),
        "b": one_of(months, language),
    }
    if of := match.groupdict().get("of"):
        words["b"] = (*said(of, language), *words["b"])
    return choice([fill(template, words, language) for template in templates])
