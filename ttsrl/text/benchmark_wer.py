"""Word error rate as the scripts of Seed-TTS-eval and CV3-Eval compute it, for published numbers.

For anything else there is `text.normalise`, which normalises more: here "25" and "twenty-five"
differ, and so do "NLP" and "nlp" in a Mandarin text. Sources: BytedanceSpeech/seed-tts-eval,
run_wer.py;
FunAudioLLM/CV3-Eval, utils/run_wer.py, which does the same in more languages. One difference: they
bring Mandarin transcripts into the simplified script by zhconv's tables (GPL), we by OpenCC's; of
GB 2312's 6 763 characters the two disagree on 10.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import jiwer

from ttsrl.errors import BadInput

BENCHMARK_VERSION = 1
"""Raise it whenever `benchmark_wer` gives another result."""

BY_CHARACTER = frozenset(["zh", "ja", "ko"])
"""A word is one character; case counts there, as in the scripts."""


def benchmark_wer(reference: str, hypothesis: str, language: str) -> float:
    """Word error rate; 1 for an empty hypothesis. Raises BadInput for a reference of no word."""
    if language == "zh":
        hypothesis = simplified(hypothesis)
    said, heard = words(reference, language), words(hypothesis, language)
    if not said:
        raise BadInput(f"text {reference!r} is punctuation only: it has no word to count")
    return float(jiwer.wer(said, heard))


def words(text: str, language: str) -> str:
    """Words with one space between: no punctuation but the ASCII apostrophe, lower case."""
    text = text.translate(_punctuation())
    if language in BY_CHARACTER:
        return " ".join(character for character in text if not character.isspace())
    return " ".join(text.lower().split())


def simplified(text: str) -> str:
    """Mandarin in the simplified script."""
    return str(_to_simplified().convert(text))


@lru_cache(maxsize=1)
def _punctuation() -> dict[int, None]:
    import string

    from zhon.hanzi import punctuation

    return dict.fromkeys(map(ord, set(punctuation + string.punctuation) - {"'"}))


@lru_cache(maxsize=1)
def _to_simplified() -> Any:
    from opencc import OpenCC

    return OpenCC("t2s")
