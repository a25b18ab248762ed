"""Words and what is written like one: contractions, abbreviations, Roman numerals, addresses."""

from __future__ import annotations

import re
from functools import lru_cache

from ttsrl.text.languages import BY_CHARACTER
from ttsrl.text.lattice import Choice, Reading, choice
from ttsrl.text.numbers import cardinal, number, ordinal
from ttsrl.text.speech import speech
from ttsrl.text.spelling import audible
from ttsrl.text.values import fill, one_of, said

INITIALS = re.compile(r"(?:[^\W\d_]\.\s?){2,}(?:[^\W\d_](?![\w]))?")
ADDRESS = re.compile(
    r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+|(?:https?://|www\.)[^\s,;()<>]*[\w/]"
    r"|[\w-]+(?:\.[\w-]+)*\.(?:com|org|net|edu|gov|info|io|ai|eu|de|fr|it|es|pt|br|ru|uk|jp|cn|kr|in)"
    r"(?![\w])(?:/[^\s,;()<>]*[\w/])?"
)
ROMAN = re.compile(r"M{0,3}(?:CM|CD|D?C{0,3})(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3})")
ROMAN_INSIDE = re.compile(
    r"(?<![A-Za-z])(?:[IVX]{2,}|(?<=[\u4e00-\u9fff])[IVX]|(?<=[a-z] )[VX])(?![A-Za-z])"
)
"""Roman numerals in scripts without spaces: 第II章."""
INITIALISM = re.compile(r"[A-Z]{2,5}")
BARE_UNITS = frozenset(
    ["km", "kg", "cm", "mm", "mg", "ml", "kHz", "MHz", "GHz", "kW", "kWh", "mph", "GB", "MB", "TB"]
)
"""Symbols that are read out without a number, too."""
SMALL_ROMAN = frozenset(["ii", "iii", "iv", "vii", "viii", "ix", "xii", "xiii", "xiv", "xv", "xvi"])
"""Those in lower case that are not words of any language here."""
VALUES = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}


@lru_cache(maxsize=65_536)
def word(text: str, language: str, after_name: bool) -> Reading:
    """One word with its apostrophes; `after_name`: it may number the name before it."""
    table = speech(language)
    plain = audible(text, language)
    lower = text.casefold()
    if roman := _roman(text, language, after_name):
        return choice([plain, *roman]) if len(text) == 1 else choice([*roman, plain])
    if lower in table.words:
        return choice([*(audible(w, language) for w in table.words[lower]), plain])
    if spellings := _same(language).get(lower):
        return choice([plain, *spellings])
    for end, means in table.suffixes.items():
        if lower.endswith(end) and lower != end:
            full = [audible(lower.removesuffix(end) + meaning, language) for meaning in means]
            return choice([*full, plain])
    if text in BARE_UNITS and (patterns := table.units.get(text)):
        return choice([plain, *(audible(p.replace("{0}", ""), language) for p in patterns)])
    if "'" in text and (reading := _contraction(lower, language)):
        return reading
    return (plain,) if plain else ()


def initials(text: str, language: str) -> Reading:
    """Letters that are said one by one; a recogniser may write their names: "aitch eye vee"."""
    names = speech(language).letters
    plain = audible(text, language)
    if not names or not set(plain) <= set(names):
        return (plain,) if plain else ()
    return choice([plain, tuple(p for c in plain for p in one_of([c, *names[c]], language))])


def filler(text: str, language: str) -> Choice | None:
    """The spellings of a filler, that of the text first."""
    lower = text.casefold()
    for spellings in speech(language).fillers:
        if lower in spellings:
            each = [audible(s, language) for s in [lower, *spellings]]
            return Choice(tuple((s,) for s in dict.fromkeys(each)))
    return None


def roman_value(text: str) -> int:
    """The number of a Roman numeral."""
    values = [VALUES[c] for c in text]
    return sum(-v if v < max(values[i:]) else v for i, v in enumerate(values))


def _roman(text: str, language: str, after_name: bool) -> list[Reading]:
    table = speech(language)
    suffix = re.search(rf"(?<=[IVXLCDM])(?:{table.roman_ordinal})$", text)
    text = text[: suffix.start()] if suffix else text
    if text in SMALL_ROMAN:
        text = text.upper()
    if not table.roman or not (text.isascii() and text.isupper() and ROMAN.fullmatch(text)):
        return []
    if len(text) == 1 and not suffix and (not after_name or text not in "VXI"):
        return []
    digits = str(roman_value(text))
    if suffix:
        return [choice(ordinal(digits, language))]
    words = {"c": choice(cardinal(digits, language)), "o": choice(ordinal(digits, language))}
    return [fill(template, words, language) for template in table.roman]


def _contraction(text: str, language: str) -> Reading:
    table = speech(language)
    for ending, means in table.endings.items():
        if not text.endswith(ending) or text == ending:
            continue
        stem = text.removesuffix(ending)
        stem = table.stems.get(stem, stem)
        parts = word(stem, language, False)
        full = [(*parts, *said(meaning, language)) for meaning in means]
        literal = (audible(text, language),)
        return choice([*full, literal] if ending not in table.endings_kept else [literal, *full])
    return ()


@lru_cache(maxsize=128)
def _same(language: str) -> dict[str, list[str]]:
    """Word -> the other spellings of it."""
    return {
        one.casefold(): [audible(other, language) for other in group]
        for group in speech(language).same
        for one in group
    }


@lru_cache(maxsize=128)
def abbreviations(language: str) -> tuple[re.Pattern[str], dict[str, Reading]]:
    """A pattern of all abbreviations of the table, and key -> readings; keys as `key_of` gives."""
    table = speech(language)
    after = "" if language in BY_CHARACTER else r"(?!\w)"
    readings: dict[str, Reading] = {}
    patterns: list[tuple[int, str]] = []
    for key, means in table.abbreviations.items():
        written = key.removesuffix("#")
        parts = re.escape(written.rstrip(". ")).replace(r"\.\ ", r"\.\s?").replace(r"\ ", r"\s?")
        final = (
            r"\.?"
            if written.endswith(".") and key == written and len(written) > 2
            else re.escape(written[-1:])
            if written.endswith(".")
            else ""
        )
        number_next = r"(?=\s?\d)" if key.endswith("#") else after
        if key[-1] in "°º":
            number_next = r"(?![^\W\d])"
        patterns.append((len(written), parts + final + number_next))
        readings[key_of(written)] = choice(
            [*(audible(m, language) for m in means), audible(written.replace(".", ""), language)]
        )
    if language in BY_CHARACTER:
        patterns += [(len(one), re.escape(one)) for group in table.same for one in group]
        readings |= {
            key_of(one): choice([audible(s, language) for s in [one, *group]])
            for group in table.same
            for one in group
        }
    patterns.sort(reverse=True)
    joined = "|".join(pattern for _, pattern in patterns) or r"(?!)"
    before = r"(?<![0-9A-Za-z])" if language in BY_CHARACTER else r"(?<!\w)"
    return re.compile(rf"{before}(?:{joined})", re.IGNORECASE), readings


def key_of(written: str) -> str:
    """An abbreviation without dots and spaces."""
    return re.sub(r"[.\s]", "", written).casefold()


def address(text: str, language: str) -> Reading:
    """An e-mail or web address: its dots and signs are said."""
    table = speech(language)
    reading: Reading = ()
    for piece in re.findall(r"[^\W\d_]+|\d+|://|.", text):
        if piece.isdigit():
            reading += number(piece, language)
        elif words := table.in_addresses.get(piece):
            reading += one_of(words, language)
        else:
            reading += said(piece, language)
    return reading
