"""Text normalisation per language: the only door to character and word error rates."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache

import jiwer
from rapidfuzz.distance import Levenshtein

from ttsrl.errors import BadInput
from ttsrl.text.languages import BY_CHARACTER, OPTIONAL_MARKS, READ_OUT, check_language

NORMALISER_VERSION = 2
"""Raise it whenever `normalise` gives another result: it is part of a reward's specification."""


def check_text(text: object, language: str) -> str:
    """Return `text` if it can be spoken and measured, else raise BadInput."""
    if not isinstance(text, str):
        raise BadInput(f"text is {text!r}, no string; give each line a non-empty text")
    if not text.strip():
        raise BadInput(f"text {text!r} is empty; leave the line out")
    if bad := re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]", text):
        raise BadInput(
            f"text contains the control character U+{ord(bad[0]):04X} at position {bad.start()}; "
            "remove it, or check the file's encoding (UTF-8 is expected)"
        )
    _reference(text, language)
    return text


@lru_cache(maxsize=65_536)
def normalise(text: str, language: str) -> str:
    """What of a text can be heard: lower case, no punctuation, single spaces, composed (NFC).

    English goes through Whisper's normaliser first, so that contractions, titles and numbers agree
    however they are written. Numbers come out as spoken digits ("9" and "nine" -> "nine"; "1984"
    and "nineteen eighty-four" -> "one nine eight four"), because an error rate counts letters.
    Fillers and words in parentheses stay: they are heard. Chinese, Japanese, Korean, German,
    French, Spanish, Italian and Portuguese numbers are read out, and Mandarin comes out in the
    simplified script; in other languages numbers stay as they are written, in ASCII digits.
    Languages of `BY_CHARACTER` come out without spaces. Raises BadInput for an unknown language.
    """
    check_language(language)
    text = unicodedata.normalize("NFKC", text)
    text = re.sub(r"\d", lambda m: str(unicodedata.decimal(m[0])), text)
    if language == "en":
        text = _english(text)
    elif language in READ_OUT:
        from ttsrl.text.numbers import read_numbers

        text = read_numbers(text, language)
    elif language in ("tr", "az"):
        text = text.replace("I", "ı").replace("İ", "i")
    elif language in ("fa", "ur"):
        text = text.translate({0x64A: 0x6CC, 0x643: 0x6A9})  # Arabic yeh and kaf, typed for Persian
    text = unicodedata.normalize("NFC", text.casefold())
    kept = "".join(_audible(c, language in OPTIONAL_MARKS) for c in text)
    return ("" if language in BY_CHARACTER else " ").join(kept.split())


def cer(reference: str, hypothesis: str, language: str) -> float:
    """Character error rate over normalised texts, spaces included where the language writes them.

    1 for an empty hypothesis; above 1 for much too long ones. Raises BadInput if nothing of the
    reference can be heard.
    """
    # jiwer's own engine; jiwer itself takes a hundred times as long, while a GPU waits
    wanted = _reference(reference, language)
    return Levenshtein.distance(wanted, normalise(hypothesis, language)) / len(wanted)


def wer(reference: str, hypothesis: str, language: str) -> float:
    """Word error rate over normalised texts; in `BY_CHARACTER` languages a word is a character."""
    both = _reference(reference, language), normalise(hypothesis, language)
    return float(jiwer.wer(*(" ".join(units(text, language)) for text in both)))


def units(normalised: str, language: str) -> list[str]:
    """Words of a normalised text; in `BY_CHARACTER` languages its characters."""
    return list(normalised) if language in BY_CHARACTER else normalised.split()


def pinyin_wer(reference: str, hypothesis: str, language: str, tones: bool) -> float:
    """Word error rate over Mandarin syllables: what sounds the same counts as the same.

    1 for an empty hypothesis. Raises BadInput for another language, and if nothing of the reference
    can be heard.
    """
    from ttsrl.text.pinyin import pinyin

    if language != "zh":
        raise BadInput(
            f"pinyin is for Mandarin (zh), and text {reference!r} is {language!r}; use the "
            "component cer for it"
        )
    if not (syllables := pinyin(reference, tones)):
        raise BadInput(f"nothing of text {reference!r} can be heard in Mandarin; leave it out")
    return float(jiwer.wer(" ".join(syllables), " ".join(pinyin(hypothesis, tones))))


def _reference(text: str, language: str) -> str:
    normalised = normalise(text, language)
    if not normalised:
        raise BadInput(
            f"nothing of text {text!r} can be heard: it has no letters and no digits in language "
            f"{language!r}; leave it out"
        )
    return normalised


def _audible(char: str, marks_are_optional: bool) -> str:
    match unicodedata.category(char):
        case "Mn" if marks_are_optional:
            return ""
        case "Cf":  # bidirectional controls, joiners
            return ""
        case _ if char == "\u0640":  # tatweel only stretches a word
            return ""
        case category if category[0] in "LMN":
            return char
        case _:
            return " "


_DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
_SPOKEN = {str(n): word for n, word in enumerate(_DIGITS)} | {
    ".": "point",
    "%": "percent",
    "$": "dollars",
    "€": "euros",
    "£": "pounds",
    "¢": "cents",
    "-": "minus",
    "+": "plus",
}


def _spell(match: re.Match[str]) -> str:
    return f" {' '.join(_SPOKEN[c] for c in match[0])} "


def _english(text: str) -> str:
    text = text.translate({0x2019: "'", 0x2018: "'", 0x2212: "-"})
    text = re.sub(r"[()]", " ", text).replace("&", " and ")
    text = re.sub(r"\bo'clock\b", "oclock", text, flags=re.IGNORECASE)  # not "zero clock"
    text = re.sub(r"(?<!\S)-(?=\d)", "minus ", text)
    # As one number these would lose their zeros, or be too long for int().
    text = re.sub(r"(?<![\d.,])0\d+|\d{16,}", _spell, text)
    text = _whisper_english()(text)
    text = re.sub(r"\d\.\d[\d.]*|\.\d+|\d+|[%$€£¢]|[-+](?=[\d$€£¢])", _spell, text)
    return text


@lru_cache(maxsize=1)
def _whisper_english() -> Callable[[str], str]:
    from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

    normaliser = EnglishTextNormalizer({})
    normaliser.ignore_patterns = r"(?!)"  # it would drop "um" and "hmm", which are heard
    return normaliser
