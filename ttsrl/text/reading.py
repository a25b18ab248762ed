"""A text and its readings: the one function that both texts of an error rate go through.

The scanner goes from left to right and takes at each place the longest thing that it knows: a date,
a time, an amount, an abbreviation, a word. What a symbol means comes from the language's table
(`ttsrl.text.speech`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from ttsrl.text import calendar
from ttsrl.text.amounts import amount_pattern, currency_signs, fill, one_of, read_amount, said
from ttsrl.text.languages import BY_CHARACTER
from ttsrl.text.lattice import Choice, Reading, choice, expansions
from ttsrl.text.numbers import cardinal, number, ordinal
from ttsrl.text.plain import STOPS, plain_words
from ttsrl.text.speech import speech
from ttsrl.text.spelling import audible, composed, is_sign
from ttsrl.text.words import (
    ADDRESS,
    INITIALS,
    abbreviations,
    address,
    filler,
    key_of,
    word,
)

SAID = frozenset("%‰$€£¥₹₽₩°+=×÷±&@")
"""Symbols that are never silent: where a language has no words for one, it stands for itself."""
NEXT = frozenset([*".@:/&-+$_", *"0123456789"])
"""What follows a word that may be an abbreviation, an address or a currency."""
TELEPHONE = r"\d{1,4}(?:[-\u2013]\d{2,4}){2,}(?!\d)"
REMARKS = (
    "accent|applause|blank_audio|breath|clucking|cough|crying|hissing|inaudible|laughs|laughing|"
    "laughter|lipsmack|mn|"
    "music|noise|quick_breath|sigh|silence|vocalized-noise"
)
MARKUP = re.compile(
    r"<\|?/?[A-Za-z][\w-]*(?:\s+[\w:-]+=(?:\"[^\"]*\"|'[^']*'))*\s*/?\|?>"
    rf"|\[(?:{REMARKS})\]",
    re.IGNORECASE,
)
"""Tags of speech models and remarks of recognisers: <laughter>, <|noise|>, [Music]. Other words in
brackets are said."""


@lru_cache(maxsize=65_536)
def read(text: str, language: str, reference: bool) -> Reading:
    """The readings of a text. `reference`: what should be said; a filler of it may stay unheard."""
    text = composed(MARKUP.sub(" ", text))
    if (plain := plain_words(text, language)) is not None:
        return plain
    reading: Reading = ()
    for part in _Scanner(text, language, reference).parts():
        reading += tuple(p for p in part if p != "")
    return _words(reading)


def _words(reading: Reading) -> Reading:
    """Each word a part of its own, so that equal ones are found."""
    return tuple(
        piece
        for part in reading
        for piece in (part.split(" ") if isinstance(part, str) else (part,))
    )


class _Scanner:
    """One text on its way from left to right."""

    def __init__(self, text: str, language: str, reference: bool) -> None:
        self.text, self.language, self.reference = text, language, reference
        self.table = speech(language)
        self.at = 0

    def parts(self) -> Iterator[Reading]:
        """Readings of one piece after the other."""
        pattern, openers = _word_pattern(self.language), _openers(self.language)
        while self.at < len(self.text):
            start = self.at
            match = pattern.match(self.text, start)
            if self._may_be_special(match, openers) and (part := self._special()) is not None:
                yield part
            elif match:
                yield self._word(match)
            else:
                self.at += 1
                yield self._symbol(start)

    def _may_be_special(self, word: re.Match[str] | None, openers: frozenset[str]) -> bool:
        """Whether something other than a plain word or a lone symbol may begin here."""
        if self.language in BY_CHARACTER and word is not None:
            return True
        if word is None:
            return not self.text[self.at].isspace()
        return self.text[word.end() : word.end() + 1] in NEXT or word[0].casefold() in openers

    def _word(self, match: re.Match[str]) -> Reading:
        self.at = match.end()
        if spellings := filler(match[0], self.language):
            return (Choice((*spellings.readings, ())),) if self.reference else (spellings,)
        if self.language in BY_CHARACTER:
            known, _ = abbreviations(self.language)
            if inner := known.search(self.text, match.start() + 1, match.end()):
                self.at = inner.start()
            return word(self.text[match.start() : self.at], self.language, False)
        if match[0] == "x" and self._between("x", self.text[: match.start()], self.text[self.at :]):
            return one_of(self.table.between.get("x", "x"), self.language)
        return word(match[0], self.language, self._after_name(match.start()))

    def _after_name(self, start: int) -> bool:
        before = self.text[:start].split()
        return bool(before) and before[-1][:1].isupper() and before[-1].isalpha()

    def _special(self) -> Reading | None:
        """What begins with a digit or sign, and abbreviations; None if nothing is known."""
        text, at, language = self.text, self.at, self.language
        if match := ADDRESS.match(text, at):
            self.at = match.end()
            return address(match[0], language)
        pattern, known = abbreviations(language)
        if match := pattern.match(text, at):
            self.at = match.end()
            return known[key_of(match[0])]
        if match := INITIALS.match(text, at):
            self.at = match.end()
            return said(re.sub(r"[.\s]", "", match[0]), language)
        if months := calendar.month_patterns(language):
            for pattern, templates in zip(
                months, (self.table.day_month, self.table.month_day), strict=True
            ):
                if templates and (match := pattern.match(text, at)):
                    self.at = match.end()
                    return calendar.read_day(match, templates, language)
        glued = at > 0 and (
            text[at - 1].isdigit() or (text[at - 1] in ".,/" and text[at - 2].isdigit())
        )
        if not glued and (match := calendar.date_pattern(language).match(text, at)):
            reading = calendar.read_date(match, language)
            if reading is not None:
                self.at = match.end()
                return reading
        if not glued and (match := calendar.time_pattern(language).match(text, at)):
            self.at = match.end()
            time = calendar.read_time(match, language)
            number_too = amount_pattern(language).fullmatch(match[0])
            return choice([time, read_amount(number_too, language)]) if number_too else time
        if reading := self._ordinal() or self._decade() or self._chain():
            return reading
        if (match := amount_pattern(language).match(text, at)) and self._sign_is_one(match):
            self.at = match.end()
            return read_amount(match, language)
        return None

    def _sign_is_one(self, match: re.Match[str]) -> bool:
        """A minus stands at the start, after a space or a bracket: "A-5" has a hyphen."""
        before = self.text[self.at - 1 : self.at]
        joined = before.isascii() if self.language in BY_CHARACTER else True
        joined = joined and before not in (*" ([{=+*/×<>≤≥:;,", "")
        return match["sign"] not in ("-", "\u2013") or not joined

    def _ordinal(self) -> Reading:
        table = self.table
        if not table.ordinal:
            return ()
        if match := re.compile(rf"(\d+)(?:{table.ordinal})").match(self.text, self.at):
            self.at = match.end()
            readings = choice(ordinal(match[1], self.language))
            if match[0].endswith("."):
                readings = choice([readings, number(match[1], self.language)])
            if match[0].endswith("°"):
                degrees = one_of(table.units["°"], self.language)
                readings = choice([readings, (*number(match[1], self.language), *degrees)])
            return readings
        return ()

    def _decade(self) -> Reading:
        """ "the 1990s": the last word of the year is in the plural."""
        table = self.table
        if not table.decade_mark:
            return ()
        pattern = re.compile(rf"((?:\d\d)?\d0)(?:{table.decade_mark})")
        if not (match := pattern.match(self.text, self.at)):
            return ()
        self.at = match.end()
        years = expansions(number(match[1], self.language))
        return choice([re.sub(p, r, year) for year in years for p, r in table.decade])

    def _chain(self) -> Reading:
        """A version or an internet address: "2.0.1"."""
        if match := re.compile(TELEPHONE).match(self.text, self.at):
            self.at = match.end()
            hyphen = one_of(["", *self.table.between.get("-", ())], self.language)
            return self._joined(re.findall(r"\d+", match[0]), hyphen)
        pattern = re.compile(r"\d+(?:\.\d+){2,}(?!\d)")
        match = pattern.match(self.text, self.at)
        grouped = "." in self.table.group and match and re.fullmatch(r"\d{1,3}(\.\d{3})+", match[0])
        if not match or grouped:
            return ()
        self.at = match.end()
        points = self.table.point.get(".") or self.table.in_addresses.get(".") or ("",)
        return self._joined(match[0].split("."), one_of(points, self.language))

    def _joined(self, digits: list[str], mark: Reading) -> Reading:
        reading = number(digits[0], self.language)
        for piece in digits[1:]:
            reading += (*mark, *number(piece, self.language))
        return reading

    def _symbol(self, at: int) -> Reading:
        table, symbol = self.table, self.text[at]
        before, after = self.text[:at][-2:], self.text[at + 1 : at + 3]
        if symbol == "^" and (match := re.compile(r"-?\d+").match(self.text, at + 1)):
            self.at = match.end()
            return self._power(match[0])
        if symbol in table.before_number and re.match(r"\s?\d", after):
            return one_of(table.before_number[symbol], self.language)
        if symbol in table.between and self._between(symbol, before, after):
            return one_of(table.between[symbol], self.language)
        if symbol in table.symbols:
            return one_of(table.symbols[symbol], self.language)
        if code := currency_signs(self.language).get(symbol):
            return one_of(table.currencies[code], self.language)
        patterns = table.units.get(symbol)
        if patterns and not symbol.isalpha() and symbol not in "\u2032\u2033":
            return one_of([p.replace("{0}", "") for p in patterns], self.language)
        return (symbol,) if symbol in SAID else ()

    def _power(self, exponent: str) -> Reading:
        table = self.table
        digits = exponent.removeprefix("-")
        words = {
            "c": choice(cardinal(digits, self.language)),
            "o": choice(ordinal(digits, self.language)),
        }
        minus = one_of(table.minus, self.language) if exponent != digits else ()
        words["c"] = (*minus, *words["c"])
        readings: list[str | Reading] = [
            audible(text, self.language) for text in table.powers.get(exponent, ())
        ]
        readings += [fill(template, words, self.language) for template in table.power]
        return choice(readings or [words["c"]])

    def _between(self, symbol: str, before: str, after: str) -> bool:
        """Whether a sign joins two terms; with spaces around it only numbers are joined."""
        one, other = before.strip()[-1:], after.strip()[:1]
        spaced = before[-1:] == " " and after[:1] == " "
        if symbol in "-\u2013\u2014:x" or (spaced and symbol in "/*"):
            return (one.isdigit() or one in ")]%°.") and (other.isdigit() or other in "([")
        return bool(one and other) and all(c.isalnum() or c in ".%()[]°" for c in (one, other))


@lru_cache(maxsize=128)
def _openers(language: str) -> frozenset[str]:
    """Words in lower case with which an abbreviation, a date or a currency's code begins."""
    table = speech(language)
    firsts = [re.split(r"[.\s#/°º-]", key.casefold())[0] for key in table.abbreviations]
    months = [name.casefold() for names in table.months for name in names]
    return frozenset([*firsts, *months, *(sign.casefold() for sign in currency_signs(language))])


@lru_cache(maxsize=128)
def _word_pattern(language: str) -> re.Pattern[str]:
    """Letters with their marks and inner apostrophes: all but digits, spaces and symbols."""
    table = speech(language)
    keys = [*table.symbols, *table.before_number, *table.between, *currency_signs(language)]
    odd = "".join({c for key in [*keys, *table.units] for c in key if is_sign(c)})
    no_letter = (
        r"\s\d!-&(-/:-@\[-`{-~\u00a0-\u00a9\u00ab-\u00b4\u00b6-\u00b9\u00bb-\u00bf\u00d7\u00f7"
    )
    no_letter += STOPS + r"\u2010-\u206f\u20a0-\u20cf\u2190-\u2bff\u3000-\u3004\u3008-\u3020"
    letter = rf"[^{no_letter}'{re.escape(odd)}]"
    return re.compile(rf"'?{letter}+(?:'{letter}+)*'?")
