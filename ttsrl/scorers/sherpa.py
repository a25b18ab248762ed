"""Recognisers that sherpa-onnx runs, in its folders: `model.onnx` (or int8) and `tokens.txt`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ttsrl.audio.equal_lengths import equal_lengths
from ttsrl.audio.io import resample
from ttsrl.audio.waveform import Waveform
from ttsrl.errors import BadInput
from ttsrl.models.hub import local_folder

if TYPE_CHECKING:
    from sherpa_onnx import OfflineRecognizer

RATE_HZ = 16_000


class SherpaRecogniser:
    """Greedy transcripts by a recogniser that `make` builds from (network, tokens, threads)."""

    max_duration_s = math.inf
    languages = None

    def __init__(
        self,
        name: str,
        model: str,
        make: Callable[[str, str, int], OfflineRecognizer],
        batch_size: int,
    ) -> None:
        import torch

        folder = local_folder(model)
        tokens = folder / "tokens.txt"
        if not tokens.is_file():
            raise BadInput(
                f"no {name} at {folder}: tokens.txt is missing; give a folder of sherpa-onnx's"
            )
        self.batch_size = batch_size
        self._recogniser = make(str(_network(name, folder)), str(tokens), torch.get_num_threads())

    def transcribe(
        self, waveforms: Sequence[Waveform], sample_rate_hz: int, languages: Sequence[str]
    ) -> list[str]:
        """Greedy transcripts; only waveforms of equal length share a batch."""
        heard = [resample(waveform, sample_rate_hz, RATE_HZ) for waveform in waveforms]
        transcripts = [""] * len(heard)
        for batch in equal_lengths(heard, self.batch_size):
            streams = [self._recogniser.create_stream() for _ in batch]
            for n, stream in zip(batch, streams, strict=True):
                stream.accept_waveform(RATE_HZ, heard[n])
            self._recogniser.decode_streams(streams)
            for n, stream in zip(batch, streams, strict=True):
                transcripts[n] = stream.result.text.strip()
        return transcripts


def _network(name: str, folder: Path) -> Path:
    for file in ("model.onnx", "model.int8.onnx"):
        if (folder / file).is_file():
            return folder / file
    raise BadInput(f"no {name} at {folder}: neither model.onnx nor model.int8.onnx is there")
