"""What of a text can be heard, in one spelling: letters that a recogniser chooses freely are one.

Only spellings of the same sound fall together here, in both texts of an error rate. What has
several sounds is a choice of `ttsrl.text.lattice`.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from ttsrl.text.languages import OPTIONAL_MARKS

KEPT_COMPATIBLE = frozenset("ºª²³¹⁰⁴⁵⁶⁷⁸⁹™℠½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅐⅛⅜⅝⅞⅑⅒№…")
"""Compatibility characters that have a sound, or none, of their own: NFKC makes 31/2 of 3½."""
POWERS = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789", strict=True))
TABLES = Path(__file__).parent / "tables"


def composed(text: str) -> str:
    """Composed, without compatibility forms, ASCII digits: 3½ is "3 1/2", m² is "m^2"."""
    if text.isascii():
        return text
    text = unicodedata.normalize("NFC", text)
    text = re.sub(r"[\u3300-\u33ff]", _square_unit, text)
    text = "".join(c if c in KEPT_COMPATIBLE else unicodedata.normalize("NFKC", c) for c in text)
    text = re.sub(r"[½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅐⅛⅜⅝⅞⅑⅒]", _fraction, text)
    text = re.sub(r"[⁰¹²³⁴⁵⁶⁷⁸⁹]+", lambda m: "^" + "".join(POWERS[c] for c in m[0]), text)
    text = re.sub(r"(?<=[〇一二三四五六七八九十])・(?=[〇一二三四五六七八九])", "点", text)
    text = re.sub(r"[\d]", lambda m: str(unicodedata.decimal(m[0])), text)
    text = text.translate(_PUNCTUATION)
    return unicodedata.normalize("NFC", text)


def is_sign(char: str) -> bool:
    """Whether a character is a symbol or punctuation, not a letter, mark, digit or space."""
    return unicodedata.category(char)[0] in "SP"


_PUNCTUATION = {
    0x2019: "'",  # apostrophes
    0x2018: "'",
    0x02BC: "'",
    0x2212: "-",  # minus, hyphens
    0x2010: "-",
    0x2011: "-",
    0x00AD: None,
    0x066A: "%",  # Arabic percent and separators
    0x066B: ",",
    0x066C: " ",
    0x2044: "/",
    0x00B5: "μ",
    0x2103: "°C",
    0x2109: "°F",
}


def _fraction(match: re.Match[str]) -> str:
    return " " + unicodedata.normalize("NFKC", match[0]).replace("\u2044", "/") + " "


def _square_unit(match: re.Match[str]) -> str:
    """㎡ is "m²" here, and "m2" for NFKC."""
    parts = unicodedata.decomposition(match[0]).split()[1:]
    return "".join(chr(int(part, 16)) for part in parts) or match[0]


@lru_cache(maxsize=65_536)
def audible(text: str, language: str) -> str:
    """Letters, marks and digits: lower case, one spelling, single spaces between words."""
    if language in ("tr", "az"):
        text = text.replace("I", "ı").replace("İ", "i")
    text = unicodedata.normalize("NFC", text.casefold())
    if respell := RESPELL.get(language):
        text = respell(text)
    marks = _WITHOUT_MARKS if language in OPTIONAL_MARKS else _WITH_MARKS
    return " ".join(text.translate(marks).split())


class _Audible(dict[int, str]):
    """For `str.translate`: what is heard of a character, found once."""

    def __init__(self, marks_are_optional: bool) -> None:
        super().__init__()
        self.marks_are_optional = marks_are_optional

    def __missing__(self, code: int) -> str:
        self[code] = self._heard(chr(code))
        return self[code]

    def _heard(self, char: str) -> str:
        match unicodedata.category(char):
            case "Mn" if self.marks_are_optional:
                return ""
            case "Cf":  # bidirectional controls, joiners
                return ""
            case _ if (
                char in "\u0640'\u02bc\u2018\u2019"
            ):  # tatweel only stretches a word; apostrophes are silent
                return ""
            case category if category[0] in "LMN":
                return char
            case _:
                return " "


_WITH_MARKS, _WITHOUT_MARKS = _Audible(False), _Audible(True)


def _english(text: str) -> str:
    """Without diacritics, as Whisper's normaliser; American where Whisper's table has a pair."""
    if not text.isascii():
        bare = (c for c in unicodedata.normalize("NFKD", text) if unicodedata.category(c) != "Mn")
        text = "".join(bare).translate({0xF8: "o", 0xE6: "ae", 0x153: "oe", 0x142: "l"})
    spelled = american()
    return "".join([spelled.get(piece, piece) for piece in re.split(r"([a-z]+)", text)])


@lru_cache(maxsize=1)
def american() -> dict[str, str]:
    """Whisper's own table (openai/whisper, normalizers/english.json, MIT): British to American."""
    table: dict[str, str] = json.loads((TABLES / "english.json").read_text(encoding="utf-8"))
    return table


def _vietnamese(text: str) -> str:
    """The tone mark on the syllable's last vowel, as in "hoà"; y after a lone consonant is i."""
    text = re.sub(r"([óòỏõọ])([ae])(?!\w)", _move_tone, text)
    text = re.sub(r"(?<!q)([úùủũụ])(y)(?!\w)", _move_tone, text)
    return re.sub(r"(?<!\w)([hklmst]|qu)([yýỳỷỹỵ])(?!\w)", _short_y, text)


def _move_tone(match: re.Match[str]) -> str:
    base, tone = unicodedata.normalize("NFD", match[1])
    return base + unicodedata.normalize("NFC", match[2] + tone)


def _short_y(match: re.Match[str]) -> str:
    return match[1] + unicodedata.normalize(
        "NFC", unicodedata.normalize("NFD", match[2]).replace("y", "i")
    )


_SERBIAN = {
    **dict(zip("абвгдђежзијклмнопрстћуфхцчш", "abvgdđežzijklmnoprstćufhcčš", strict=True)),
    **{"љ": "lj", "њ": "nj", "џ": "dž"},
}


def _letters(pairs: dict[str, str]) -> Callable[[str], str]:
    table = str.maketrans(pairs)
    return lambda text: text.translate(table)


def _marks(drop: str, pairs: dict[str, str]) -> Callable[[str], str]:
    """Some combining marks fall away (after decomposition), some letters are others."""
    table = str.maketrans(pairs | dict.fromkeys(drop, ""))
    return lambda text: unicodedata.normalize(
        "NFC", unicodedata.normalize("NFD", text).translate(table)
    )


def _hiragana(text: str) -> str:
    """Katakana as hiragana; a repeated kanji written out."""
    text = re.sub(r"(.)々", r"\1\1", text).replace("〇", "零")
    text = re.sub(r"(?<=[ァ-ヶー]{2})ー(?![ァ-ヶー])", "", text)  # コンピュータ(ー)
    text = re.sub("ヴ[ァィェォ]?", lambda m: _WITHOUT_V[m[0]], text).replace("ウィ", "ウイ")
    text = "".join(chr(ord(c) - 0x60) if "\u30a1" <= c <= "\u30f6" else c for c in text)
    return re.sub(r"(?<=[ぁ-ゖー]{2})ー(?=[をがはにでともへのや]|[^ぁ-ゖー]|$)", "", text)


_WITHOUT_V = {"ヴァ": "バ", "ヴィ": "ビ", "ヴ": "ブ", "ヴェ": "ベ", "ヴォ": "ボ"}


def _devanagari(text: str) -> str:
    """Without nukta; a nasal before a stop of its own place is written as anusvara, too."""
    text = _marks("\u093c", {"\u0901": "\u0902"})(text)
    return re.sub("ङ्(?=[कखगघ])|ञ्(?=[चछजझ])|ण्(?=[टठडढ])|न्(?=[तथदध])|म्(?=[पफबभ])", "\u0902", text)


def _chinese(text: str) -> str:
    """Chinese in the simplified script, by WeText's table; one character for each "he" and 0."""
    return str(_to_simplified()(text)).translate(_SAME_CHARACTER)


@lru_cache(maxsize=1)
def _to_simplified() -> Callable[[str], str]:
    from wetext.constants import load_fst

    return load_fst("traditional_to_simple.fst")


_SAME_CHARACTER = str.maketrans("她它牠祂妳〇著", "他他他他你零着")
_HAMZA = {"أ": "ا", "إ": "ا", "آ": "ا", "ٱ": "ا", "ى": "ي", "ة": "ه", "ؤ": "و", "ئ": "ي"}
RESPELL: dict[str, Callable[[str], str]] = {
    "en": _english,
    "vi": _vietnamese,
    "ja": _hiragana,
    "zh": _chinese,
    "yue": _chinese,
    "ru": _letters({"ё": "е"}),
    "sr": _letters(_SERBIAN),
    "bs": _letters(_SERBIAN),
    "ro": _letters({"ş": "ș", "ţ": "ț"}),
    "fr": _letters({"œ": "oe", "æ": "ae", "î": "i", "û": "u"}),  # the 1990 spelling drops them
    "ar": _letters(_HAMZA | {"پ": "ب", "ڤ": "ف", "گ": "ك"}),
    "fa": _letters({"ي": "ی", "ك": "ک", "أ": "ا", "إ": "ا", "ؤ": "و", "ۀ": "ه", "ة": "ه"}),
    "ur": _letters({"ي": "ی", "ك": "ک", "ۂ": "ہ", "ة": "ہ", "ه": "ہ"}),
    "hi": _devanagari,
    "nl": _marks("\u0301\u0308", {}),  # ideeën, één: where syllables end, and stress
    "mr": _devanagari,
    "ne": _devanagari,
    "el": _marks("\u0301\u0342\u0300\u0313\u0314\u0345", {}),
}
"""Language -> spellings of one sound that become one; texts are composed and in lower case."""
