"""Paraformer, the judge of Mandarin in Seed-TTS-eval, in its ONNX form through sherpa-onnx."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ttsrl.scorers.sherpa import SherpaRecogniser

if TYPE_CHECKING:
    from sherpa_onnx import OfflineRecognizer


class Paraformer(SherpaRecogniser):
    """A folder of sherpa-onnx's, or its Hugging Face id; its language is its own.

    The CosyVoice tutorial evaluates with the same network. FunASR runs it in float32 where a folder
    holds only `model.int8.onnx`; give one with `model.onnx` for the last decimal.
    """

    def __init__(self, model: str, batch_size: int = 32) -> None:
        def make(network: str, tokens: str, threads: int) -> OfflineRecognizer:
            import sherpa_onnx

            return sherpa_onnx.OfflineRecognizer.from_paraformer(
                paraformer=network, tokens=tokens, num_threads=threads
            )

        super().__init__("Paraformer", model, make, batch_size)
