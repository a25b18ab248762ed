"""SenseVoice, CosyVoice's recogniser, in its ONNX form through sherpa-onnx."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ttsrl.scorers.sherpa import SherpaRecogniser

if TYPE_CHECKING:
    from sherpa_onnx import OfflineRecognizer


class SenseVoice(SherpaRecogniser):
    """A folder of sherpa-onnx's, or its Hugging Face id.

    Numbers come out as words (no inverse normalisation), as CosyVoice's reward has them.
    """

    def __init__(self, model: str, language: str, batch_size: int = 32) -> None:
        def make(network: str, tokens: str, threads: int) -> OfflineRecognizer:
            import sherpa_onnx

            return sherpa_onnx.OfflineRecognizer.from_sense_voice(
                model=network,
                tokens=tokens,
                num_threads=threads,
                language=language,
                use_itn=False,
            )

        super().__init__("SenseVoice", model, make, batch_size)
