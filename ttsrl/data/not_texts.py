"""Lines that are lists, not texts: each begins with an id, or has values between bars or tabs."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ttsrl.errors import BadInput, shorten

FEWEST = 3
"""Lines that a habit is told from; fewer may begin alike by chance."""
FILE = re.compile(r"\S+\.(wav|flac|mp3|ogg|opus|m4a|aac|webm)\b", re.IGNORECASE)


def check_texts(source: str, texts: Sequence[str]) -> None:
    """Raise BadInput if all texts begin with ids, or all have the same number of bars or tabs."""
    if len(texts) < FEWEST:
        return
    why = _between(texts) or _ids(texts)
    if why:
        raise BadInput(
            f"{source}: all {len(texts)} texts {why}, such as {shorten(texts[0])}: these are not "
            "texts to be said; give the texts alone, or JSON lines or a table (.csv, .tsv) that "
            "names them 'text'"
        )


def _between(texts: Sequence[str]) -> str | None:
    for sign, name in (("|", "bars"), ("\t", "tabs")):
        counts = {text.count(sign) for text in texts}
        if len(counts) == 1 and counts != {0}:
            return f"have values between {name}"
    return None


def _ids(texts: Sequence[str]) -> str | None:
    first = [text.split(maxsplit=1)[0] for text in texts if text.strip()]
    if len(set(first)) < len(first):
        return None
    if all(map(FILE.match, first)):
        return "begin with the name of a recording"
    if len({_shape(word) for word in first}) == 1 and _is_id(first[0]):
        return "begin with an id"
    if [word.strip(".:)") for word in first] == [str(n) for n in _counted(first[0], len(first))]:
        return "begin with their number"
    return None


def _shape(word: str) -> str:
    """LJ001-0001 and LJ002-0345 have one shape."""
    return re.sub(r"[^\W\d_]", "a", re.sub(r"\d", "0", word))


def _is_id(word: str) -> bool:
    """Digits with letters, signs or leading zeros, as in no word that is said."""
    digits = sum(c.isdigit() for c in word)
    if word.isdigit():
        return digits >= 5 or word[0] == "0"
    return digits >= 3 and bool(re.fullmatch(r"[\w./:-]+", word))


def _counted(first: str, count: int) -> range:
    bare = first.strip(".:)")
    start = int(bare) if bare.isascii() and bare.isdigit() else 0
    return range(start, start + count)
