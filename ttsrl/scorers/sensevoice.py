"""SenseVoice, CosyVoice's recogniser, in its ONNX form through sherpa-onnx: greedy transcripts."""

# sherpa_onnx declares no types:
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from ttsrl.audio import resample
from ttsrl.codecs import Waveform
from ttsrl.errors import BadInput
from ttsrl.hub import local_folder
from ttsrl.scorers.equal_lengths import equal_lengths

RATE_HZ = 16_000


class SenseVoice:
    """A folder with `model.onnx` (or `model.int8.onnx`) and `tokens.txt`, or its Hugging Face id.

    Numbers come out as words (no inverse normalisation), as CosyVoice's reward has them.
    """

    max_duration_s = math.inf

    def __init__(self, model: str, language: str, batch_size: int = 32) -> None:
        import sherpa_onnx
        import torch

        folder = local_folder(model)
        tokens = folder / "tokens.txt"
        if not tokens.is_file():
            raise BadInput(
                f"no SenseVoice at {folder}: tokens.txt is missing; give a folder of sherpa-onnx's"
            )
        self.batch_size = batch_size
        self._recogniser = sherpa_onnx.OfflineRecognizer.from_sense_voice(
            model=str(_network(folder)),
            tokens=str(tokens),
            num_threads=torch.get_num_threads(),
            language=language,
            use_itn=False,
        )

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


def _network(folder: Path) -> Path:
    for name in ("model.onnx", "model.int8.onnx"):
        if (folder / name).is_file():
            return folder / name
    raise BadInput(f"no SenseVoice at {folder}: neither model.onnx nor model.int8.onnx is there")
