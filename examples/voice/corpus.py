"""The sentences of examples/voice/texts, and the shards of speech made of them."""

from __future__ import annotations

import json
import lzma
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ttsrl.data.split import is_held_out

HERE = Path(__file__).parent
TEXTS = HERE / "texts"
HELD_OUT_FRACTION = 0.06
"""As `data.held_out_fraction` of run.json."""
SHARD = 64
"""Sentences in one file of speech."""
RATE_HZ = 16_000


@cache
def training_texts() -> list[str]:
    """What codec and policy are trained on, in the order in which it is spoken."""
    with lzma.open(TEXTS / "training.txt.xz", "rt", encoding="utf-8") as file:
        return file.read().splitlines()


@cache
def held_out_texts() -> list[str]:
    """The prompts that no training of any stage sees."""
    with (TEXTS / "prompts.jsonl").open(encoding="utf-8") as file:
        texts = [json.loads(line)["text"] for line in file]
    return [text for text in texts if is_held_out(text, HELD_OUT_FRACTION, "words")]


@dataclass(frozen=True)
class SpokenShard:
    """Recordings behind one another, and the texts that they are of."""

    samples: NDArray[np.int16]
    """[S] at 16 kHz."""
    ends: NDArray[np.int64]
    """Where each recording ends."""
    texts: NDArray[np.int64]
    """Number of each recording's sentence among the training texts."""

    def recordings(self) -> list[NDArray[np.int16]]:
        """Each one's samples."""
        return np.split(self.samples, self.ends[:-1])


def write_shard(path: Path, recordings: list[NDArray[np.int16]], texts: list[int]) -> None:
    """Write a shard; it is there whole or not at all."""
    ends = np.cumsum([len(one) for one in recordings])
    write_arrays(path, samples=np.concatenate(recordings), ends=ends, texts=np.array(texts))


def write_arrays(path: Path, **arrays: NDArray[np.generic]) -> None:
    """Write an .npz that other processes find whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not *.npz: who looks for shards would read half of one.
    half = path.with_name(f".{path.name}.{os.getpid()}.part")
    with half.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    half.rename(path)


def read_shard(path: Path) -> SpokenShard:
    """Read what `write_shard` wrote."""
    with np.load(path) as arrays:
        return SpokenShard(arrays["samples"], arrays["ends"], arrays["texts"])
