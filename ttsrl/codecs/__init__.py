"""Codecs: speech tokens of one codebook -> mono waveform. One file a codec."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from ttsrl.errors import BadInput

if TYPE_CHECKING:
    from ttsrl.config import RewardConfig

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


class Encoder(Protocol):
    """Waveform -> speech tokens of one codebook."""

    codebook_size: int
    sample_rate_hz: int
    tokens_per_s: float

    def encode(self, waveforms_B: Sequence[Waveform]) -> list[list[int]]:
        """Encode recordings of any lengths >= 1, at `sample_rate_hz`.

        A recording's tokens are the same alone and in any batch.
        """
        ...


Precision = Literal["float32", "tfloat32", "bfloat16"]
"""What a GPU multiplies in; weights and sums stay in float32."""


def resolve_precision(reward: RewardConfig, device: str) -> Precision:
    """What the reward's codec computes in on this device."""
    if not device.startswith("cuda"):
        return "float32"
    return "tfloat32" if reward.codec_precision == "auto" else reward.codec_precision


def load_codec(path: str, device: str = "cpu", precision: Precision = "float32") -> Codec:
    """Load the codec of a local folder by the `model_type` in its config.json; or BadInput."""
    match _model_type(path):
        case "tiny_codec":
            from ttsrl.codecs.tiny import TinyCodec

            return TinyCodec.load(path, device=device)
        case "xcodec2":
            from ttsrl.codecs.xcodec2 import XCodec2

            return XCodec2(path, device, precision)
        case other:
            raise BadInput(f"unknown codec {other!r} at {path}; known: tiny_codec, xcodec2")


def load_encoder(path: str, device: str = "cpu") -> Encoder:
    """Load the encoder of a codec's local folder; or BadInput."""
    match _model_type(path):
        case "tiny_codec":
            from ttsrl.codecs.tiny import TinyCodec

            return TinyCodec.load(path, device=device)
        case "xcodec2":
            from ttsrl.codecs.xcodec2_encoder import XCodec2Encoder

            return XCodec2Encoder(path, device)
        case other:
            raise BadInput(
                f"no encoder for the codec {other!r} at {path}; known: tiny_codec, xcodec2"
            )


def _model_type(path: str) -> object:
    config = Path(path) / "config.json"
    if not config.is_file():
        raise BadInput(f"no codec at {path!r}: {config} is missing; give a codec's folder")
    return json.loads(config.read_text()).get("model_type")
