"""XCodec2 (Llasa's codec, arXiv 2502.04128): 65 536 codes, 50 tokens/s, 16 kHz.

Through transformers' own class, with weights in its format such as HKUSTAudio/xcodec2-hf. The class
came with transformers 5.23, later than verl 0.9.1 allows: the reward service and the evaluation of
a Llasa run in an environment with the extra `xcodec2`, the trainer needs no codec.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import transformers

from ttsrl.codecs import Waveform
from ttsrl.codecs.by_length import decode_by_length
from ttsrl.errors import BadInput


class XCodec2:
    """XCodec2's decoder; see `ttsrl.codecs.Codec`."""

    def __init__(self, path: str, device: str = "cpu") -> None:
        model_class: Any = getattr(transformers, "Xcodec2Model", None)
        if model_class is None:
            raise BadInput(
                f"codec {path!r} is an XCodec2, which transformers {transformers.__version__} does "
                "not have; use an environment made with `uv sync --extra reward --extra xcodec2`"
            )
        model: Any = model_class.from_pretrained(path, dtype=torch.float32)
        self.model: Any = model.to(device).eval()
        self.device = device
        levels = model.config.quantization_levels
        self.codebook_size = int(torch.tensor(levels).prod())
        self.sample_rate_hz = int(model.config.sampling_rate)
        self.tokens_per_s = self.sample_rate_hz / model.config.hop_length

    @torch.inference_mode()
    def decode(self, tokens_B: Sequence[Sequence[int]]) -> list[Waveform]:
        """Decode utterances of any lengths >= 1; ValueError for tokens outside the codebook."""
        return decode_by_length(tokens_B, self.codebook_size, self._decode)

    def _decode(self, tokens_BT: torch.Tensor) -> torch.Tensor:
        codes = tokens_BT.unsqueeze(1).to(self.device)
        return self.model.decode(audio_codes=codes).audio_values.flatten(1).clamp(-1.0, 1.0)
