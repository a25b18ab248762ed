"""A line of a source becomes a sentence that the voice can learn, or is left out."""

from __future__ import annotations

import re

SENTENCE = re.compile(r"[a-z',.?]+( [a-z',.?]+)*")
ABBREVIATION = re.compile(
    r"\b(Mr|Mrs|Dr|St|Co|etc|e\.g|i\.e|U\.S|a\.m|p\.m|cf|vs|ca|esp|Jr|Lt|Gen|Capt|Col|Rev|Hon|No|Prof)"
    r"\.|\b[A-Z]{2,}\b|\b[A-Za-z]\."
)
SYMBOL = re.compile(r"[0-9\[\]{}<>/&$%*+=_@#|\\()]")
FEWEST_WORDS, MOST_WORDS = 3, 25
MOST_CHARS, LONGEST_WORD = 150, 18
LETTERS_THAT_ARE_WORDS = "aio"


def cleaned(text: str) -> str | None:
    """A sentence of letters and ' , . ? that begins with a capital, or None."""
    text = text.strip().replace("`", "'").replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    text = re.sub(r"\s+--?\s+|--+|\N{EM DASH}", ", ", text)
    text = re.sub(r"\([^)]*\)", " ", text).replace('"', "")
    if not text.isascii() or SYMBOL.search(text) or ABBREVIATION.search(text):
        return None
    text = _punctuated(text)
    if not text:
        return None
    text = text if text[-1] in ".?" else text + "."
    return text[0].upper() + text[1:] if _is_short_and_plain(text.lower()) else None


def words_of(text: str) -> list[str]:
    """Its words in lower case, without punctuation."""
    return re.sub(r"[,.?]", "", text.lower()).split()


def _punctuated(text: str) -> str:
    """With commas, full stops and question marks alone, each behind a word."""
    text = re.sub(r"\.{2,}", ",", re.sub(r"[;:]", ",", text).replace("!", "."))
    text = re.sub(r"(?<![a-zA-Z])'|'(?![a-zA-Z])", " ", text.replace("-", " "))
    text = re.sub(r"\s+([,.?])", r"\1", re.sub(r"\s+", " ", text))
    text = re.sub(r"([,.?])[,.? ]*(?=[,.?])", "", text).strip(" ,'")
    return re.sub(r"([,.?])(?=\S)", r"\1 ", text)


def _is_short_and_plain(text: str) -> bool:
    words = [word.strip(",.?'") for word in text.split()]
    return bool(
        SENTENCE.fullmatch(text)
        and FEWEST_WORDS <= len(words) <= MOST_WORDS
        and len(text) <= MOST_CHARS
        and all(len(word) <= LONGEST_WORD for word in words)
        and all(word in LETTERS_THAT_ARE_WORDS for word in words if len(word) == 1)
    )
