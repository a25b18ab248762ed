"""NeuCodec (NeuTTS' codec): 65 536 codes, 50 tokens/s; it hears 16 kHz and speaks 24 kHz.

transformers' class for it is XCodec2's with another decoder's rate, so it decodes as XCodec2 does,
with weights in transformers' format, in an environment with the extra `xcodec2`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers

from ttsrl.audio.waveform import Waveform
from ttsrl.codecs.xcodec2 import XCodec2, load_xcodec2
from ttsrl.errors import BadInput, reason_of


class NeuCodec(XCodec2):
    """See `ttsrl.codecs.base.Codec`."""

    model_class = "NeuCodecModel"
    rate_key = "output_sampling_rate"


class NeuCodecEncoder:
    """See `ttsrl.codecs.base.Encoder`. One recording after another: it hears what pads it."""

    def __init__(self, path: str, device: str = "cpu") -> None:
        self.model = load_xcodec2(path, NeuCodec.model_class).to(device)
        self.device = device
        try:
            self.extractor: Any = transformers.AutoFeatureExtractor.from_pretrained(Path(path))
        except (OSError, ValueError) as error:
            raise BadInput(
                f"the codec at {path} has no feature extractor, which encoding needs: "
                f"{reason_of(error)}; add its preprocessor_config.json"
            ) from None
        config = self.model.config
        self.codebook_size = int(torch.tensor(config.quantization_levels).prod())
        self.sample_rate_hz = int(config.input_sampling_rate)
        self.tokens_per_s = self.sample_rate_hz / config.encoder_hop_length

    @torch.inference_mode()
    def encode(self, waveforms_B: Sequence[Waveform]) -> list[list[int]]:
        """Encode recordings of any lengths >= 1 at 16 kHz."""
        return [self._encode(waveform) for waveform in waveforms_B]

    def _encode(self, waveform: Waveform) -> list[int]:
        made = self.extractor(waveform, sampling_rate=self.sample_rate_hz, return_tensors="pt")
        heard = self.model.encode(
            made["input_values"].to(self.device), made["input_features"].to(self.device)
        )
        return heard.audio_codes[0, 0].tolist()
