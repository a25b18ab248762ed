"""What both recognisers are trained on: phrases as the policy might say them, well and badly.

Besides whole words a clip may hold words cut off, scraps of words, pauses, or nothing at all. None
of that is in its transcript: a recogniser that guesses through it would reward it.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from examples.tiny.domain import WORDS, phrase, trainable
from examples.tiny.speech import PATCH, join, recordings, silence
from examples.tiny.word_tokens import PAUSE, word_tokens
from ttsrl.audio.waveform import Waveform
from ttsrl.codecs.tiny import TinyCodec

MAX_SAMPLES = 44_800
"""Longest clip, 0.2 s less than Whisper's window, which augmentation may use."""
FRAME = 160
"""Samples of a label."""
HEARD, UNHEARD = 0.8, 0.45
"""Shares of a word said: from the one on it is in the transcript, up to the other it is not."""

Content = TypeVar("Content", Waveform, list[int])


@dataclass(frozen=True)
class ClipPart:
    """A pause (no word), or the first or last `share` of a word."""

    word: str | None
    share: float = 1.0
    from_end: bool = False

    @property
    def heard(self) -> bool:
        return self.word is not None and self.share >= HEARD

    def cut(self, content: Content) -> Content:
        """Its share of the word's samples or speech tokens."""
        exact = self.share * len(content)
        kept = math.ceil(exact) if self.heard else max(1, math.floor(exact))
        return content[len(content) - kept :] if self.from_end else content[:kept]


@dataclass(frozen=True)
class TrainingClip:
    """A waveform [T], its transcript, and for each frame of it which word is being said."""

    waveform: Waveform
    words: list[str]
    labels: NDArray[np.int64]
    """0 where no word is, else 1 + the word's index in the domain."""


def plan(rng: random.Random) -> list[ClipPart]:
    """A random clip in parts; what is heard of it may be trained on."""
    flawed = rng.random() < 0.4
    while True:
        words = phrase(rng) if rng.random() < 0.7 else rng.choices(WORDS, k=rng.randint(0, 7))
        parts = _flawed(words, rng) if flawed else [ClipPart(word) for word in words]
        heard = [part.word for part in parts if part.word and part.heard]
        if trainable(heard):
            before, after = (rng.choice([[], [ClipPart(None)]]) for _ in range(2))
            # A sliver alone would be shorter than one frame of a recogniser.
            return (before if heard else [ClipPart(None)]) + parts + after


def _flawed(words: Sequence[str], rng: random.Random) -> list[ClipPart]:
    """Some words cut, some after a pause or after scraps of others."""
    parts: list[ClipPart] = []
    for word in words:
        flaw = rng.choice(["none", "none", "cut", "scraps", "pause"])
        if flaw == "scraps":
            parts += _scraps(rng)
        if flaw == "pause":
            parts += [ClipPart(None)] * rng.randint(1, 2)
        share = rng.choice([HEARD, UNHEARD, rng.uniform(0.1, UNHEARD)]) if flaw == "cut" else 1.0
        parts.append(ClipPart(word, share, from_end=rng.random() < 0.5))
    return parts + (_scraps(rng) if rng.random() < 0.2 else [])


def _scraps(rng: random.Random) -> list[ClipPart]:
    """A few slivers of words in a row."""
    return [
        ClipPart(rng.choice(WORDS), rng.uniform(0.1, 0.3), from_end=rng.random() < 0.5)
        for _ in range(rng.randint(1, 5))
    ]


class Clips:
    """Endless clips: the policy's voice through the codec, and other voices as they are."""

    def __init__(self, codec: TinyCodec, voices: Sequence[tuple[str, float]], seed: int) -> None:
        self.codec = codec
        self.voices = [recordings(voice, stretch) for voice, stretch in voices]
        self.rng = random.Random(seed)

    def batch(self, size: int, decoded_share: float = 0.65) -> list[TrainingClip]:
        """Random clips of at most MAX_SAMPLES."""
        n_decoded = round(size * decoded_share)
        others = [self._other_voice() for _ in range(size - n_decoded)]
        return self._decoded(n_decoded) + others

    def _decoded(self, n: int) -> list[TrainingClip]:
        """Clips of the policy's voice, decoded from speech tokens."""
        plans: list[list[ClipPart]] = []
        pieces_B: list[list[list[int]]] = []
        while len(plans) < n:
            parts = plan(self.rng)
            pieces = [p.cut(word_tokens()[p.word or PAUSE]) for p in parts]
            if PATCH * sum(map(len, pieces)) <= MAX_SAMPLES:
                plans.append(parts)
                pieces_B.append(pieces)
        waveforms = self.codec.decode([[t for p in pieces for t in p] for pieces in pieces_B])
        return [
            _clip(waveform, parts, [PATCH * len(piece) for piece in pieces])
            for waveform, parts, pieces in zip(waveforms, plans, pieces_B, strict=True)
        ]

    def _other_voice(self) -> TrainingClip:
        """A clip of another voice, its recordings joined."""
        said = self.rng.choice(self.voices)
        while True:
            parts = plan(self.rng)
            pieces = [p.cut(said[p.word]) if p.word else silence() for p in parts]
            waveform = join(pieces)
            if len(waveform) <= MAX_SAMPLES:
                return _clip(waveform, parts, [len(piece) for piece in pieces])


def _clip(waveform: Waveform, parts: Sequence[ClipPart], lengths: Sequence[int]) -> TrainingClip:
    """The clip of these parts, `lengths` samples each."""
    said = [1 + WORDS.index(p.word) if p.word and p.heard else 0 for p in parts]
    labels = np.repeat(said, lengths)[FRAME // 2 :: FRAME].astype(np.int64)
    return TrainingClip(waveform, [p.word for p in parts if p.word and p.heard], labels)


def frame_labels(clips: Sequence[TrainingClip], n_frames: int) -> Tensor:
    """Labels at 50 frames a second, [B, n_frames] int64; no word after a clip's end."""
    labels = torch.zeros(len(clips), n_frames, dtype=torch.long)
    for row, clip in zip(labels, clips, strict=True):
        said = torch.from_numpy(clip.labels[::2].copy())[:n_frames]
        row[: len(said)] = said
    return labels
