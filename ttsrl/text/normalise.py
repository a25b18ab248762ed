"""Character and word error rates of texts as they sound: the only door to both.

One spoken form has many written ones: "$5" and "five dollars", "colour" and "color", "25" and
"twenty-five". Both texts of an error rate go through `ttsrl.text.reading.read`, which gives each a
lattice of readings; of all pairs of readings the two nearest ones are compared
(`ttsrl.text.nearest`). Where words end is spelling, too ("any more", "anymore"): words of the
transcript are joined and split as the reference's if their letters agree. The errors are divided by
the length of the reference's usual reading, whichever was said: no reading dilutes errors.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

from rapidfuzz.distance import Levenshtein

from ttsrl.errors import BadInput, shorten
from ttsrl.text.controls import check_controls
from ttsrl.text.languages import BY_CHARACTER, check_language
from ttsrl.text.lattice import first, letters
from ttsrl.text.markup import marks_in
from ttsrl.text.nearest import nearest
from ttsrl.text.reading import read

NORMALISER_VERSION = 7
"""Raise it whenever an error rate changes: it is part of a reward's specification."""


def check_text(text: object, language: str) -> str:
    """Return `text` if it can be spoken and measured, else raise BadInput."""
    if not isinstance(text, str):
        raise BadInput(f"text is {text!r}, no string; give each line a non-empty text")
    if not text.strip():
        raise BadInput(f"text {text!r} is empty; leave the line out")
    check_controls(text)
    if marks := marks_in(text):
        said = f", or write ({marks[0][1:-1].strip()}) if it is said" if marks[0][0] == "[" else ""
        raise BadInput(
            f"text {shorten(text)} contains the markup {marks[0]!r}, which is not said; "
            f"leave it out{said}"
        )
    _reference(text, language)
    return text


def normalise(text: str, language: str) -> str:
    """The usual reading of a text: words in lower case, symbols and numbers read out, composed.

    Languages of `BY_CHARACTER` come out without spaces. Raises BadInput for an unknown language.
    """
    check_language(language)
    return _joined(first(read(text, language, reference=True)), language)


@lru_cache(maxsize=4_096)
def compared(reference: str, transcript: str, language: str) -> tuple[str, str]:
    """The readings of two texts that an error rate compares, the transcript spaced alike."""
    check_language(language)
    said, heard = (
        _joined(side, language)
        for side in nearest(
            read(reference, language, reference=True), read(transcript, language, reference=False)
        )
    )
    return said, heard if language in BY_CHARACTER else _respaced(said, heard)


def cer(reference: str, transcript: str, language: str) -> float:
    """Character errors per character of the reference, spaces included where a language has them.

    1 for an empty transcript; above 1 for much too long ones. Raises BadInput if nothing of the
    reference can be heard.
    """
    usual = _reference(reference, language)
    said, heard = compared(reference, transcript, language)
    if not heard or not normalise(transcript, language):  # fillers alone need not be heard
        return 1.0
    return Levenshtein.distance(said, heard) / len(usual)


def wer(reference: str, transcript: str, language: str) -> float:
    """Word errors per word of the reference; in `BY_CHARACTER` languages a word is a character."""
    usual = units(_reference(reference, language), language)
    said, heard = (units(side, language) for side in compared(reference, transcript, language))
    if not heard or not normalise(transcript, language):
        return 1.0
    return Levenshtein.distance(said, heard) / len(usual)


def units(normalised: str, language: str) -> list[str]:
    """Words of a normalised text; in `BY_CHARACTER` languages its characters."""
    return list(normalised) if language in BY_CHARACTER else normalised.split()


def pinyin_wer(reference: str, transcript: str, language: str, tones: bool) -> float:
    """Word error rate over Mandarin syllables: what sounds the same counts as the same.

    1 for an empty transcript. Raises BadInput for another language, and if nothing of the reference
    can be heard.
    """
    from ttsrl.text.pinyin import pinyin

    if language != "zh":
        raise BadInput(
            f"pinyin is for Mandarin (zh), and text {reference!r} is {language!r}; use the "
            "component cer for it"
        )
    usual = pinyin(first(read(reference, language, reference=True)), tones)
    if not usual:
        raise BadInput(f"nothing of text {reference!r} can be heard in Mandarin; leave it out")
    sides = nearest(
        read(reference, language, reference=True), read(transcript, language, reference=False)
    )
    said, heard = (pinyin(side, tones) for side in sides)
    if not heard:
        return 1.0
    return Levenshtein.distance(said, heard) / len(usual)


def _reference(text: str, language: str) -> str:
    if normalised := normalise(text, language):
        return normalised
    raise BadInput(
        f"nothing of text {text!r} can be heard: it has no letters and no digits in language "
        f"{language!r}; leave it out"
    )


def _joined(text: str, language: str) -> str:
    return letters(text) if language in BY_CHARACTER else text


def _respaced(said: str, heard: str) -> str:
    """`heard` with words that end where those of `said` do, as far as the letters agree."""
    if said == heard:
        return heard
    ends = _word_ends(said)
    wanted, got = letters(said), letters(heard)
    kept = _word_ends(heard)
    for block in Levenshtein.opcodes(wanted, got):
        if block.tag != "equal":
            continue
        shift = block.dest_start - block.src_start
        inside = range(block.dest_start + 1, block.dest_end)
        kept = {end for end in kept if end not in inside}
        kept |= {end + shift for end in ends if end + shift in inside}
    bounds = [0, *sorted(kept), len(got)]
    spaced = " ".join(got[a:b] for a, b in pairwise(bounds) if a < b)
    return min(heard, spaced, key=lambda text: Levenshtein.distance(said, text))


def _word_ends(text: str) -> set[int]:
    """Positions among the letters where a word ends and another begins."""
    ends: set[int] = set()
    count = 0
    for word in text.split(" ")[:-1]:
        count += len(word)
        ends.add(count)
    return ends
