"""Recordings of the domain's words by flite's voices: one fixed recording a word and voice."""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import soundfile

from examples.tiny.domain import WORDS
from ttsrl.audio.waveform import Waveform

SAMPLE_RATE_HZ = 16_000
PATCH = 1_280
"""Samples of a speech token: the policy's voice is cut to whole tokens."""
VOICE = "slt"
"""The policy's voice."""
PEAK = 0.7


@functools.cache
def recordings(voice: str, stretch: float) -> dict[str, Waveform]:
    """Every word of the domain, spoken alone and trimmed; `stretch` scales its duration."""
    with TemporaryDirectory() as folder:
        return {word: _trim(_flite(word, voice, stretch, Path(folder))) for word in WORDS}


@functools.cache
def policy_recordings() -> dict[str, Waveform]:
    """The policy's voice, each word cut to whole tokens: always the same tokens for a word."""
    cut: dict[str, Waveform] = {}
    for word, waveform in recordings(VOICE, stretch=0.8).items():
        # A quarter of a patch of fading sound is dropped rather than given a token of its own.
        n_patches = max(1, int(np.ceil(len(waveform) / PATCH - 0.25)))
        whole = np.zeros(n_patches * PATCH, np.float32)
        kept = min(len(waveform), len(whole))
        whole[:kept] = _fade(waveform[:kept])
        cut[word] = whole
    return cut


def silence(n_patches: float = 1) -> Waveform:
    """Digital silence."""
    return np.zeros(int(n_patches * PATCH), np.float32)


def join(parts: Sequence[Waveform]) -> Waveform:
    """One waveform of several."""
    return np.concatenate(list(parts)).astype(np.float32)


def _flite(word: str, voice: str, stretch: float, folder: Path) -> Waveform:
    path = folder / "word.wav"
    command = ["flite", "-voice", voice, "--setf", f"duration_stretch={stretch}", "-t", word]
    subprocess.run([*command, "-o", str(path)], check=True, stdout=subprocess.DEVNULL)
    waveform, rate = soundfile.read(path, dtype="float32")
    if rate != SAMPLE_RATE_HZ:
        raise ValueError(f"flite's voice {voice!r} has {rate} Hz, not {SAMPLE_RATE_HZ}")
    return np.asarray(waveform, dtype=np.float32)


def _trim(waveform: Waveform, threshold: float = 0.01, margin: int = 160) -> Waveform:
    """Without the silence around the word, at the common peak level."""
    loud = np.flatnonzero(np.abs(waveform) > threshold)
    start = max(0, int(loud[0]) - margin)
    trimmed = waveform[start : int(loud[-1]) + margin]
    return (trimmed / np.abs(trimmed).max() * PEAK).astype(np.float32)


def _fade(waveform: Waveform, samples: int = 80) -> Waveform:
    """Edges without a click."""
    ramp = np.linspace(0, 1, samples, dtype=np.float32)
    faded = waveform.copy()
    faded[:samples] *= ramp
    faded[-samples:] *= ramp[::-1]
    return faded
