"""Codecs: speech tokens of one codebook -> mono waveform. One file a codec."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ttsrl.errors import BadInput

Waveform = NDArray[np.float32]
"""Mono float32 samples in [-1, 1], shape [T]."""


class Codec(Protocol):
    """Speech tokens of one codebook <-> waveform; decoding depends on the tokens alone."""

    codebook_size: int
    sample_rate_hz: int
    tokens_per_s: float

    def decode(self, tokens_B: Sequence[Sequence[int]]) -> list[Waveform]:
        """Decode a batch of utterances of any lengths >= 1; tokens must lie in the codebook.

        The same tokens give the same waveform (to 1e-5) alone and in any batch.
        """
        ...


def load_codec(path: str, device: str = "cpu") -> Codec:
    """Load the codec of a local folder by the `model_type` in its config.json; or BadInput."""
    config = Path(path) / "config.json"
    if not config.is_file():
        raise BadInput(f"no codec at {path!r}: {config} is missing; give a codec's folder")
    match json.loads(config.read_text()).get("model_type"):
        case "tiny_codec":
            from ttsrl.codecs.tiny import TinyCodec

            return TinyCodec.load(path, device=device)
        case "xcodec2":
            from ttsrl.codecs.xcodec2 import XCodec2

            return XCodec2(path, device=device)
        case other:
            raise BadInput(f"unknown codec {other!r} in {config}; known: tiny_codec, xcodec2")
