"""Texts as espeak-ng's phonemes, in the form that NeuTTS was trained on.

Its authors use the PyPI package phonemizer, which is under the GPL; what it makes of espeak-ng's
answers is done here anew: punctuation stays where it was, what stands between is pronounced on its
own, stress marks stay, and the flags with which espeak-ng tells a change of language go. espeak-ng
itself (GPL, too) is not shipped: its library is loaded from the system, through the functions of
speak_lib.h. The program espeak-ng stresses words that stand alone otherwise ("What?").
"""

from __future__ import annotations

import ctypes
import re
from ctypes.util import find_library
from functools import cache, lru_cache
from threading import Lock

from ttsrl.errors import BadInput

PUNCTUATION = re.compile(r"""((?:\s*(?:[;:!?¡¿—…"«»“”(){}\[\]]|(?<!\d)[.,]|[.,](?!\d))+\s*)+)""")
"""A point or a comma between two digits belongs to a number."""
LANGUAGE_FLAG = re.compile(r"\([a-z]{2,3}(?:-[a-z0-9-]+)?\)")
WITHOUT_SOUND, UTF_8, IPA = 2, 1, 2
"""Arguments of espeak_Initialize and espeak_TextToPhonemes."""
SEPARATOR = "_"
LOCK = Lock()
"""The library speaks one language at a time."""


@lru_cache(maxsize=65_536)
def phonemes_of(text: str, voice: str) -> str:
    """The phonemes (IPA with stress) and the punctuation of one line of text, single-spaced.

    `voice`: a language as espeak-ng calls it, such as en-us. Raises BadInput where espeak-ng is
    missing, or lacks the language.
    """
    with LOCK:
        espeak = _library()
        if espeak.espeak_SetVoiceByName(voice.encode()):
            raise BadInput(
                f"espeak-ng cannot pronounce the language {voice!r}: it has no such voice; "
                "`espeak-ng --voices` lists what it speaks"
            )
        pieces = PUNCTUATION.split(" ".join(text.split()))
        # every second piece is punctuation
        told = [p if n % 2 else _pronounced(espeak, p) for n, p in enumerate(pieces)]
    return " ".join("".join(told).split())


def _pronounced(espeak: ctypes.CDLL, phrase: str) -> str:
    rest = ctypes.c_char_p(phrase.encode())
    mode = ord(SEPARATOR) << 8 | IPA
    clauses: list[str] = []
    while rest.value:  # the library moves it to the end of the clause that it has read
        clause = espeak.espeak_TextToPhonemes(ctypes.byref(rest), UTF_8, mode)
        clauses.append(clause.decode() if clause else "")
    spoken = LANGUAGE_FLAG.sub("", " ".join(clauses))
    return " ".join(spoken.replace(SEPARATOR, "").split())


@cache
def _library() -> ctypes.CDLL:
    name = find_library("espeak-ng") or "libespeak-ng.so.1"
    try:
        espeak = ctypes.CDLL(name)
    except OSError:
        raise BadInput(
            "the texts of this family are told as phonemes, and espeak-ng, which makes them, is "
            "not installed here; install it (Debian, Ubuntu: apt-get install espeak-ng)"
        ) from None
    espeak.espeak_TextToPhonemes.restype = ctypes.c_char_p
    if espeak.espeak_Initialize(WITHOUT_SOUND, 0, None, 0) <= 0:
        raise BadInput("espeak-ng cannot start: its data is missing; install it again")
    return espeak
