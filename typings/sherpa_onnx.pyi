"""What this project calls of sherpa-onnx, which declares no types."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

class OfflineRecognitionResult:
    text: str

class OfflineStream:
    result: OfflineRecognitionResult
    def accept_waveform(self, sample_rate: float, waveform: NDArray[np.float32]) -> None: ...

class OfflineRecognizer:
    @classmethod
    def from_sense_voice(
        cls,
        model: str,
        tokens: str,
        num_threads: int = 1,
        *,
        language: str = "",
        use_itn: bool = False,
    ) -> OfflineRecognizer: ...
    @classmethod
    def from_paraformer(
        cls, paraformer: str, tokens: str, num_threads: int = 1
    ) -> OfflineRecognizer: ...
    def create_stream(self) -> OfflineStream: ...
    def decode_streams(self, ss: Sequence[OfflineStream]) -> None: ...
