"""flite's voice rms by its C library, much faster than its command: 45 times real time per core."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

LIBRARIES = ("flite", "flite_usenglish", "flite_cmulex")
VOICE = "rms"
"""Understood best of flite's voices by Whisper base: a man, American English."""
QUIET = 300
"""Samples below this, of 32 768, before and after the speech are silence."""
BEFORE, AFTER = 1_280, 1_920
"""Samples of silence that stay: 80 and 120 ms."""


class CstWave(ctypes.Structure):
    """cst_wave of flite 2."""

    _fields_ = (
        ("type", ctypes.c_char_p),
        ("sample_rate", ctypes.c_int),
        ("num_samples", ctypes.c_int),
        ("num_channels", ctypes.c_int),
        ("samples", ctypes.POINTER(ctypes.c_short)),
    )


def load_voice() -> Callable[[str], NDArray[np.int16]]:
    """A function that speaks a text: 16 kHz, cut to its speech; FLITE may name its folder.

    Raises OSError where flite is not installed (apt install flite).
    """
    libraries = [_library(name) for name in LIBRARIES]
    flite = libraries[0]
    register = getattr(_library(f"flite_cmu_us_{VOICE}"), f"register_cmu_us_{VOICE}")
    register.restype = ctypes.c_void_p
    flite.flite_init()
    voice = register(None)
    flite.flite_text_to_wave.restype = ctypes.POINTER(CstWave)
    flite.flite_text_to_wave.argtypes = [ctypes.c_char_p, ctypes.c_void_p]
    flite.delete_wave.argtypes = [ctypes.POINTER(CstWave)]

    def speak(text: str) -> NDArray[np.int16]:
        wave = flite.flite_text_to_wave(text.lower().encode("ascii"), voice)
        content = wave.contents
        samples = np.ctypeslib.as_array(content.samples, (content.num_samples,)).copy()
        flite.delete_wave(wave)
        return _cut(samples)

    return speak


def _library(name: str) -> ctypes.CDLL:
    file = f"lib{name}.so.1"
    folder = os.environ.get("FLITE")
    return ctypes.CDLL(str(Path(folder) / file) if folder else file, mode=ctypes.RTLD_GLOBAL)


def _cut(samples: NDArray[np.int16]) -> NDArray[np.int16]:
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > QUIET)
    if not len(loud):
        return samples
    return samples[max(0, loud[0] - BEFORE) : loud[-1] + AFTER]
