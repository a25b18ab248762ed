"""Chinese text -> pinyin syllables: what is heard of it, whichever characters write it."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from pypinyin import Style, lazy_pinyin
from wetext import Normalizer

_SPOKEN = re.compile(r"[\u3400-\u9fff]+|[a-z0-9']+")
"""Runs of Chinese characters, and words of other scripts in between."""


@lru_cache(maxsize=65_536)
def pinyin(text: str, tones: bool) -> tuple[str, ...]:
    """Syllables of a Mandarin text, numbers read out by WeText; foreign words stay words.

    With tones each syllable ends in its number, 5 for the neutral tone, and tone sandhi is applied
    (two third tones in a row are said as a second and a third).
    """
    spoken = str(_numbers().normalize(unicodedata.normalize("NFKC", text))).lower()
    style = Style.TONE3 if tones else Style.NORMAL
    return tuple(
        syllable
        for run in _SPOKEN.findall(spoken)
        for syllable in (
            lazy_pinyin(run, style=style, neutral_tone_with_five=tones, tone_sandhi=tones)
            if "\u3400" <= run[0] <= "\u9fff"
            else [run]
        )
    )


@lru_cache(maxsize=1)
def _numbers() -> Normalizer:
    return Normalizer(lang="zh", operator="tn", remove_erhua=False)
