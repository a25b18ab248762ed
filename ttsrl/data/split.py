"""Which texts are held out. A file of its own, because a split must outlive any normaliser."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from typing import Literal


def words(text: str) -> list[str]:
    """Case-folded words of a text without punctuation (NFKC); what the split looks at."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return re.findall(r"[^\W_]+", folded)


def is_held_out(text: str, fraction: float, by: Literal["text", "words"]) -> bool:
    """Whether a text belongs to the held-out share: a function of the text alone.

    by="words" ignores the order of the words, so that no re-ordering of a held-out text is trained.
    """
    key = words(text) if by == "text" else sorted(words(text))
    digest = hashlib.sha256(" ".join(key).encode()).digest()
    return int.from_bytes(digest[:8], "big") < fraction * 2**64
