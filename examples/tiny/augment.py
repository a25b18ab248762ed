"""Changes that a clip's transcript survives; each recogniser is trained with its own mixture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.random import Generator

from examples.tiny.clips import FRAME, TrainingClip


def shift(clip: TrainingClip, rng: Generator, max_frames: int = 10) -> TrainingClip:
    """Silence before the clip."""
    frames = int(rng.integers(0, max_frames + 1))
    return replace(
        clip,
        waveform=np.pad(clip.waveform, (frames * FRAME, 0)),
        labels=np.pad(clip.labels, (frames, 0)),
    )


def speed(clip: TrainingClip, rng: Generator, spread: float = 0.06) -> TrainingClip:
    """Faster and higher, or slower and lower."""
    rate = rng.uniform(1 - spread, 1 + spread)
    samples = np.arange(0, len(clip.waveform) - 1, rate)
    waveform = np.interp(samples, np.arange(len(clip.waveform)), clip.waveform)
    frames = np.arange(0, len(clip.labels), rate).astype(int)
    return replace(clip, waveform=waveform.astype(np.float32), labels=clip.labels[frames])


def gain(clip: TrainingClip, rng: Generator) -> TrainingClip:
    """Louder or softer."""
    return replace(clip, waveform=clip.waveform * np.float32(rng.uniform(0.4, 1.3)))


def tilt(clip: TrainingClip, rng: Generator) -> TrainingClip:
    """Brighter or duller: a first-order filter."""
    delayed = np.pad(clip.waveform, (1, 0))[:-1]
    return replace(clip, waveform=clip.waveform + np.float32(rng.uniform(-0.7, 0.7)) * delayed)


def noise(clip: TrainingClip, rng: Generator, colour: float) -> TrainingClip:
    """Noise 8 to 40 dB below the clip; its power falls with frequency to the power of `colour`."""
    spectrum = np.fft.rfft(rng.standard_normal(2**16))
    spectrum /= np.maximum(1, np.arange(len(spectrum))) ** (colour / 2)
    hiss = np.fft.irfft(spectrum)[: len(clip.waveform)]
    level = np.sqrt(np.mean(clip.waveform**2) + 1e-8) * 10 ** (-rng.uniform(8, 40) / 20)
    hiss *= level / np.sqrt(np.mean(hiss**2))
    return replace(clip, waveform=(clip.waveform + hiss).astype(np.float32))
