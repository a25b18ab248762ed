"""Rollouts of the step log as audio: decoded here, as the log keeps their speech tokens alone."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

from ttsrl.codecs.base import Codec, can_decode
from ttsrl.codecs.registry import load_codec
from ttsrl.config.schema import RunConfig
from ttsrl.models.hub import local_folder
from ttsrl.records.rollout import RolloutSample
from ttsrl.runtime.machine import GIB, free_memory_bytes
from ttsrl.tracking.base import RolloutClip

STEPS_KEPT = 4
"""Trackers ask for the same steps one after the other."""
SPARE_BYTES = GIB
"""What is left free beside the codec: on this machine training has its processes."""


class RolloutAudio:
    """Decodes on the CPU, one step at a time; used by the threads of all trackers."""

    def __init__(self, run: RunConfig) -> None:
        self._run = run
        self._codec: Codec | None = None
        self._gave_up = False
        self._kept: OrderedDict[int, list[RolloutClip]] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, step: int, samples: Sequence[RolloutSample]) -> list[RolloutClip]:
        """The samples of a step; without audio where there is no memory for the codec."""
        with self._lock:
            if step not in self._kept:
                codec = self._loaded()
                self._kept[step] = [_clip(sample, codec) for sample in samples]
                while len(self._kept) > STEPS_KEPT:
                    self._kept.popitem(last=False)
            return self._kept[step]

    def _loaded(self) -> Codec | None:
        if self._codec is not None or self._gave_up:
            return self._codec
        folder = local_folder(self._run.codec)
        need = 2 * _bytes_of(folder) + SPARE_BYTES
        if (free := free_memory_bytes()) < need:
            print(
                f"rollouts without audio: the codec takes about {need / GIB:.1f} GiB of memory, "
                f"and {free / GIB:.1f} GiB are free",
                flush=True,
            )
            self._gave_up = True
            return None
        self._codec = load_codec(str(folder), voice=self._run.voice)
        return self._codec


def _clip(sample: RolloutSample, codec: Codec | None) -> RolloutClip:
    tokens = sample.speech_tokens
    if codec is None:
        return RolloutClip(sample, None, 0)
    if not can_decode(codec, tokens):
        return RolloutClip(sample, None, codec.sample_rate_hz)
    return RolloutClip(sample, codec.decode([tokens])[0], codec.sample_rate_hz)


def _bytes_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
