"""Numbers without signs and units: "1,250.5", "3 1/2", "2.5", and templates of words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from ttsrl.text.lattice import Reading, choice
from ttsrl.text.numbers import cardinal, decimal, number, ordinal
from ttsrl.text.speech import speech
from ttsrl.text.spelling import audible

QUARTERS = {"5": "1/2", "50": "1/2", "25": "1/4", "75": "3/4"}
"""Digits after a decimal mark -> the fraction that they are."""


def said(words: str, language: str) -> Reading:
    """One string as it is compared."""
    return (text,) if (text := audible(words, language)) else ()


def one_of(words: Iterable[str], language: str) -> Reading:
    """A choice of strings as they are compared; a symbol without words stays what it is."""
    return choice([audible(text, language) or text.strip() for text in words])


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
    if re.fullmatch(r"\d{1,3}([.,])\d{3}(?:\1\d{3})+|\d{1,2}(?:,\d\d)+,\d{3}", text):
        return number(re.sub(r"\D", "", text), language)
    bare = re.sub(rf"[{re.escape(table.group)}](?=\d{{3}}(?!\d))", "", text)
    if match := re.fullmatch(r"(\d*)([.,])(\d+)", bare):
        whole_digits, mark, part = match.groups()
        return _decimal(whole_digits, mark, part, language)
    whole = number(bare, language)
    if " " in text:  # perhaps a telephone number, in groups
        groups = [number(group, language) for group in re.findall(r"\d+", text)]
        return choice([whole, tuple(part for group in groups for part in group)])
    return whole


def _decimal(whole: str, mark: str, part: str, language: str) -> Reading:
    """ "2.5" is also "two and a half"."""
    table = speech(language)
    readings: list[str | Reading] = [decimal(whole, mark, part, language)]
    readings += [audible(t, language) for t in table.decimals.get(f"{whole}.{part}", ())]
    if whole in ("", "0"):
        known = table.fractions.get(QUARTERS.get(part, ""), ())
        return choice([*readings, *(audible(t, language) for t in known)])
    words = {
        "c": choice(cardinal(whole, language)),
        "n": choice(cardinal(str(int(whole) + 1), language)) if len(whole) < 10 else (),
    }
    readings += [fill(template, words, language) for template in table.halves.get(part, ())]
    return choice(readings)


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
