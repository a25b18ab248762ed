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
from ttsrl.text.amounts import amount_pattern, currency_signs, half_of_noun, read_amount
from ttsrl.text.compounds import compound
from ttsrl.text.languages import BY_CHARACTER
from ttsrl.text.lattice import Choice, Reading, choice
from ttsrl.text.marked import marked
from ttsrl.text.numbers import cardinal, ordinal
from ttsrl.text.plain import STOPS, plain_words
from ttsrl.text.speech import speech
from ttsrl.text.spelling import audible, composed, is_sign
from ttsrl.text.values import fill, one_of
from ttsrl.text.words import (
    ADDRESS,
    INITIALISM,
    INITIALS,
    ROMAN_INSIDE,
    abbreviations,
    address,
    filler,
    initials,
    key_of,
    word,
)

SAID = frozenset("%‰$€£¥₹₽₩°+=×÷±&@♯♭")
"""Symbols that are never silent: where a language has no words for one, it stands for itself."""
NEXT = frozenset([*".@:/&-\u2013+$_", *"0123456789"])
"""What follows a word that may be an abbreviation, an address or a currency."""
NUMBERED = frozenset([
    "Act", "Appendix", "Article", "Book", "Category", "Chapter", "Class", "Division", "Form",
    "Grade", "Group", "Level", "Part", "Phase", "Section", "Stage", "Tier", "Title", "Type",
    "Volume", "War"
])  # fmt: skip
"""What is numbered with I in English, where I is mostly a pronoun."""
FILE_ENDINGS = frozenset([
    "avi", "cpp", "css", "csv", "doc", "docx", "exe", "flac", "gif", "gz", "html", "java", "jpeg",
    "jpg", "js", "json", "md", "mp3", "mp4", "ogg", "pdf", "php", "png", "pptx", "py", "sh",
    "sql", "svg", "tar", "toml", "ts", "txt", "wav", "xlsx", "xml", "yaml", "zip"
])  # fmt: skip
"""After a full stop these are said with "dot"."""
GRADE = re.compile(r"(?<![\w-])[A-F]-$")
PRICE = re.compile(r"[€$£¥₹₽₩]\s?[\d.,]+\s?\w*$|\d\s?[€$£¥₹₽₩]$")
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
        self.shouted = text.isupper() and len(text.split()) > 1
        """In capitals throughout, so that they tell nothing."""
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
            for pattern, start in ((known, match.start() + 1), (ROMAN_INSIDE, match.start())):
                if inner := pattern.search(self.text, start, self.at):
                    self.at = max(inner.start(), match.start() + 1)
            if numeral := ROMAN_INSIDE.match(self.text, match.start()):
                self.at = numeral.end()
                return word(numeral[0], self.language, match.start() > 0)
            return word(self.text[match.start() : self.at], self.language, False)
        if match[0] == "x" and self._between("x", self.text[: match.start()], self.text[self.at :]):
            return one_of(self.table.between.get("x", "x"), self.language)
        reading = word(match[0], self.language, self._after_name(match.start()))
        if INITIALISM.fullmatch(match[0]) and len(reading) == 1 and not self.shouted:
            return initials(match[0], self.language) if isinstance(reading[0], str) else reading
        return reading

    def _after_name(self, start: int) -> bool:
        before = self.text[:start].split()
        if not before or not before[-1][:1].isupper() or not before[-1].isalpha():
            return False
        if self.language != "en" or self.text[start : self.at] != "I":
            return True
        return before[-1] in NUMBERED or not re.match(r"\s+[a-z]", self.text[self.at :])

    def _special(self) -> Reading | None:
        """What begins with a digit or sign, and abbreviations; None if nothing is known."""
        text, at, language = self.text, self.at, self.language
        if match := ADDRESS.match(text, at):
            self.at = match.end()
            return address(match[0], language)
        if found := compound(text, at, language):
            reading, self.at = found
            return reading
        pattern, known = abbreviations(language)
        if match := pattern.match(text, at):
            self.at = match.end()
            return known[key_of(match[0])]
        if match := INITIALS.match(text, at):
            self.at = match.end()
            return initials(re.sub(r"[.\s]", "", match[0]), language)
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
        if not glued and (match := calendar.hour_pattern(language).match(text, at)):
            self.at = match.end()
            return calendar.read_hour(match, language)
        if found := marked(text, at, language):
            reading, self.at = found
            return reading
        if (match := amount_pattern(language).match(text, at)) and self._sign_is_one(match):
            if found := half_of_noun(match, language):
                reading, self.at = found
                return reading
            self.at = match.end()
            return read_amount(match, language)
        return None

    def _sign_is_one(self, match: re.Match[str]) -> bool:
        """A minus stands at the start, after a space or a bracket: "A-5" has a hyphen."""
        before = self.text[self.at - 1 : self.at]
        joined = before.isascii() if self.language in BY_CHARACTER else True
        joined = joined and before not in (*" ([{=+*/×<>≤≥:;,", "")
        return match["sign"] not in ("-", "\u2013") or not joined

    def _symbol(self, at: int) -> Reading:
        table, symbol = self.table, self.text[at]
        before, after = self.text[:at][-2:], self.text[at + 1 : at + 3]
        if symbol == "^" and (match := re.compile(r"-?\d+").match(self.text, at + 1)):
            self.at = match.end()
            return self._power(match[0])
        if symbol in table.before_number and re.match(r"\s?\d", after):
            return one_of(table.before_number[symbol], self.language)
        if symbol in table.between and self._between(symbol, before, after):
            words = table.between[symbol]
            if symbol == "/" and PRICE.search(self.text[:at]):
                words = [word for word in words if word]
            return one_of(words, self.language)
        if symbol == "-" and GRADE.search(self.text[: at + 1]) and not re.match(r"[\w-]", after):
            return one_of([*table.minus, ""], self.language)
        if symbol in table.symbols:
            return one_of(table.symbols[symbol], self.language)
        if symbol == "." and (ending := re.match(r"[A-Za-z]+", self.text[at + 1 :])):
            return self._point(before[-1:], ending[0])
        if code := currency_signs(self.language).get(symbol):
            return one_of(table.currencies[code], self.language)
        patterns = table.units.get(symbol)
        if patterns and not symbol.isalpha() and symbol not in "\u2032\u2033":
            return one_of([p.replace("{0}", "") for p in patterns], self.language)
        return (symbol,) if symbol in SAID else ()

    def _point(self, before: str, after: str) -> Reading:
        """A full stop without a space after it: "file.txt", ".NET", "Yes.No"."""
        words = [*self.table.in_addresses.get(".", ())]
        if before.strip() and after not in FILE_ENDINGS:
            words = ["", *words] if after[0].isupper() else [*words, ""]
        return one_of(words, self.language) if words else ()

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
        return bool(one and other) and all(
            c.isalnum() or c in ".%()[]°€$£¥₹₽₩" for c in (one, other)
        )


@lru_cache(maxsize=128)
def _openers(language: str) -> frozenset[str]:
    """Words in lower case with which an abbreviation, a date or a currency's code begins."""
    table = speech(language)
    keys = [key.casefold() for key in table.abbreviations]
    firsts = [re.split(r"[.\s#/°º-]", key)[0] for key in keys] + [key.split()[0] for key in keys]
    months = [name.casefold() for names in (*table.months, *table.weekdays) for name in names]
    months += [short.casefold() for short in table.short_dates]
    months += [symbol.partition("/")[0].casefold() for symbol in table.units if "/" in symbol]
    return frozenset([*firsts, *months, *(sign.casefold() for sign in currency_signs(language))])


@lru_cache(maxsize=128)
def _word_pattern(language: str) -> re.Pattern[str]:
    """Letters with their marks and inner apostrophes: all but digits, spaces and symbols."""
    table = speech(language)
    keys = [*table.symbols, *table.before_number, *table.between, *currency_signs(language)]
    odd = "".join({c for key in [*keys, *table.units] for c in key if is_sign(c)})
    if language != "el":  # π, Ω and other Greek letters are signs
        odd += "".join(
            key for key in table.symbols if len(key) == 1 and "\u0370" <= key <= "\u03ff"
        )
    no_letter = (
        r"\s\d!-&(-/:-@\[-`{-~\u00a0-\u00a9\u00ab-\u00b4\u00b6-\u00b9\u00bb-\u00bf\u00d7\u00f7"
    )
    no_letter += STOPS + r"\u2010-\u206f\u20a0-\u20cf\u2190-\u2bff\u3000-\u3004\u3008-\u3020"
    letter = rf"[^{no_letter}'{re.escape(odd)}]"
    return re.compile(rf"'?{letter}+(?:'{letter}+)*'?")
