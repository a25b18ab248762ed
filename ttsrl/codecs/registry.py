"""Codecs: speech tokens of one codebook -> mono waveform. One file per codec."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from ttsrl.codecs.base import Codec, Encoder, Precision
from ttsrl.errors import BadInput, reason_of
from ttsrl.models.files import COSYVOICE, COSYVOICE3, folder_digest
from ttsrl.models.hub import local_folder

if TYPE_CHECKING:
    from ttsrl.reward.config import RewardConfig

KNOWN = "tiny_codec, mel_codec, xcodec2, cosyvoice2, cosyvoice3, snac, neucodec"


def resolve_precision(reward: RewardConfig, device: str) -> Precision:
    """What the reward's codec computes in on this device."""
    if not device.startswith("cuda"):
        return "float32"
    return "tfloat32" if reward.codec_precision == "auto" else reward.codec_precision


def load_codec(
    path: str, device: str = "cpu", precision: Precision = "float32", voice: str | None = None
) -> Codec:
    """Load the codec of a local folder; `voice` is for one that speaks in a given voice.

    Raises BadInput.
    """
    match codec_kind(path):
        case "cosyvoice2":
            from ttsrl.codecs.cosyvoice2 import CosyVoice2Codec

            return CosyVoice2Codec(path, voice, device, precision)
        case "cosyvoice3":
            from ttsrl.codecs.cosyvoice3 import CosyVoice3Codec

            return CosyVoice3Codec(path, voice, device, precision)
        case "tiny_codec":
            from ttsrl.codecs.tiny import TinyCodec

            return TinyCodec.load(path, device=device)
        case "mel_codec":
            from ttsrl.codecs.mel_codec import MelCodec

            return MelCodec.load(path, device=device)
        case "xcodec2":
            from ttsrl.codecs.xcodec2 import XCodec2

            return XCodec2(path, device, precision)
        case "neucodec":
            from ttsrl.codecs.neucodec import NeuCodec

            return NeuCodec(path, device, precision)
        case "snac":
            from ttsrl.codecs.snac import SnacCodec

            return SnacCodec(path, device, precision)
        case other:
            raise BadInput(f"unknown codec {other!r} at {path}; known: {KNOWN}")


def load_encoder(path: str, device: str = "cpu") -> Encoder:
    """Load the encoder of a codec's local folder; or BadInput."""
    match codec_kind(path):
        case "tiny_codec":
            from ttsrl.codecs.tiny import TinyCodec

            return TinyCodec.load(path, device=device)
        case "mel_codec":
            from ttsrl.codecs.mel_codec import MelCodec

            return MelCodec.load(path, device=device)
        case "xcodec2":
            from ttsrl.codecs.xcodec2_encoder import XCodec2Encoder

            return XCodec2Encoder(path, device)
        case "cosyvoice2" | "cosyvoice3":
            from ttsrl.codecs.s3_tokenizer import S3Tokenizer

            return S3Tokenizer(path, device)
        case "neucodec":
            from ttsrl.codecs.neucodec import NeuCodecEncoder

            return NeuCodecEncoder(path, device)
        case "snac":
            from ttsrl.codecs.snac import SnacEncoder

            return SnacEncoder(path, device)
        case other:
            raise BadInput(f"no encoder for the codec {other!r} at {path}; known: {KNOWN}")


def takes_voice(path: str) -> bool:
    """Whether the codec of a local folder speaks in a given voice."""
    return codec_kind(path) in ("cosyvoice2", "cosyvoice3")


def codec_digest(path: str, voice: str | None) -> str:
    """SHA-256 of what decides a codec's waveforms, its voice included; of a folder or an id."""
    folder = local_folder(path)
    if takes_voice(str(folder)):
        from ttsrl.codecs.cosyvoice2 import digest

        return digest(folder, voice)
    return folder_digest(folder)


def codec_kind(path: str) -> object:
    """`model_type` of a folder's config.json; CosyVoice's checkpoints and SNAC's have none."""
    files = {name for name in COSYVOICE if (Path(path) / name).is_file()}
    if files:
        return "cosyvoice3" if files.intersection(COSYVOICE3) else "cosyvoice2"
    config = Path(path) / "config.json"
    if not config.is_file():
        raise BadInput(f"no codec at {path!r}: {config} is missing; give a codec's folder")
    try:
        content: dict[str, object] = json.loads(config.read_bytes())
        kind = content.get("model_type")
    except (ValueError, AttributeError) as error:
        raise BadInput(f"{config} is not JSON: {reason_of(error)}; copy it again") from error
    if kind is None and "vq_strides" in content:
        return "snac"
    # the PyPI package xcodec2 writes the name of its predecessor
    return "xcodec2" if kind == "xcodec" and "codec_decoder_hidden_size" in content else kind
