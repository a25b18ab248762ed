"""Chinese text -> pinyin syllables: what is heard of it, whichever characters write it."""

from __future__ import annotations

import re
from functools import lru_cache

from pypinyin import Style, lazy_pinyin

_SPOKEN = re.compile(r"[\u3400-\u9fff]+|[a-z0-9]+")
"""Runs of Chinese characters, and words of other scripts in between."""


@lru_cache(maxsize=65_536)
def pinyin(reading: str, tones: bool) -> tuple[str, ...]:
    """Syllables of a reading of a Mandarin text (`ttsrl.text.reading`); foreign words stay words.

    With tones each syllable ends in its number, 5 for the neutral tone, and tone sandhi is applied
    (two third tones in a row are said as a second and a third). Punctuation is gone already: it
    would cut the text where a transcript has none.
    """
    spoken = re.sub(r"(?<=[\u3400-\u9fff]) (?=[\u3400-\u9fff])", "", reading)
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
