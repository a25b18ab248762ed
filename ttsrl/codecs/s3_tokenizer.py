"""CosyVoice's speech tokenizers 2 and 3 (S3, arXiv 2412.10117): 16 kHz speech -> 25 tokens/s.

The weights are read from the published speech_tokenizer_v2.onnx or speech_tokenizer_v3.onnx into
the networks of the PyPI package s3tokenizer, which take batches; the files themselves take one
utterance at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ttsrl.audio.waveform import Waveform
from ttsrl.errors import BadInput, reason_of
from ttsrl.models.hub import fill

FILE, FILE_3 = "speech_tokenizer_v2.onnx", "speech_tokenizer_v3.onnx"
HEAD_WIDTH = 64
SHORTEST_S = 0.04
"""Of one token."""


class S3Tokenizer:
    """Speech -> speech tokens; needs the extra `cosyvoice`."""

    codebook_size = 6561
    sample_rate_hz = 16_000
    tokens_per_s = 25.0

    def __init__(self, path: str | Path, device: str = "cpu") -> None:
        """`path`: one of the files, or the folder that holds it. Raises BadInput."""
        file = tokenizer_file(Path(path)) if Path(path).is_dir() else Path(path)
        if not file.is_file():
            raise BadInput(
                f"no speech tokenizer at {file}; give {FILE} of iic/CosyVoice2-0.5B (ModelScope) "
                f"or FunAudioLLM/CosyVoice2-0.5B (Hugging Face), {FILE_3} of "
                "FunAudioLLM/Fun-CosyVoice3-0.5B-2512, or the folder that holds it"
            )
        s3tokenizer = _s3tokenizer()
        try:
            self._network, weights = _network_of(file)
        except Exception as error:  # protobuf's, onnx's and torch's own: there is no common one
            raise BadInput(
                f"{file} is not a speech tokenizer of CosyVoice{3 if file.name == FILE_3 else 2}: "
                f"{reason_of(error)}; copy it again"
            ) from error
        fill(self._network, weights, file)
        self._network.eval().to(device)
        self._log_mel: Any = s3tokenizer.log_mel_spectrogram
        self._padding: Any = s3tokenizer.padding
        self._mels = self._network.config.n_mels

    @torch.inference_mode()
    def encode(self, waveforms_B: Sequence[Waveform]) -> list[list[int]]:
        """Tokens of mono 16 kHz speech of any lengths; one batch, so sort long work by length.

        Speech of more than 30 s is cut into overlapping windows. Raises ValueError for less than
        one token's 40 ms.
        """
        if not waveforms_B:
            return []
        shortest = round(SHORTEST_S * self.sample_rate_hz)
        if short := [len(w) for w in waveforms_B if len(w) < shortest]:
            raise ValueError(f"speech of {short[0]} samples is shorter than one token ({shortest})")
        features = [
            self._log_mel(torch.from_numpy(np.ascontiguousarray(w, np.float32)), self._mels)
            for w in waveforms_B
        ]
        features_BMT, lengths_B = self._padding(features)
        device = self._network.device
        codes_BT, counts_B = self._network.quantize(features_BMT.to(device), lengths_B.to(device))
        return [
            codes[:count].tolist()
            for codes, count in zip(codes_BT.cpu(), counts_B.tolist(), strict=True)
        ]


def tokenizer_file(folder: Path) -> Path:
    """Where the speech tokenizer of a checkpoint lies, or should lie."""
    return third if (third := folder / FILE_3).is_file() else folder / FILE


def _network_of(file: Path) -> tuple[Any, dict[str, torch.Tensor]]:
    """The network of a file, with random weights, and the file's."""
    import s3tokenizer
    from s3tokenizer.model_v2 import ModelConfig, S3TokenizerV2
    from s3tokenizer.model_v3 import ModelConfigV3, S3TokenizerV3

    third = file.name == FILE_3
    read: Any = s3tokenizer.onnx2torch_v3 if third else s3tokenizer.onnx2torch
    weights: dict[str, torch.Tensor] = read(str(file))
    width, mels = weights["encoder.conv1.weight"].shape[:2]
    layers = {key.split(".")[2] for key in weights if key.startswith("encoder.blocks.")}
    make: Any = ModelConfigV3 if third else ModelConfig
    config = make(
        n_mels=mels,
        n_audio_state=width,
        n_audio_head=width // HEAD_WIDTH,
        n_audio_layer=len(layers),
    )
    if third:
        return S3TokenizerV3("speech_tokenizer_v3_25hz", config), weights
    return S3TokenizerV2("speech_tokenizer_v2_25hz", config), weights


def _s3tokenizer() -> Any:
    try:
        import s3tokenizer
    except ImportError:
        raise BadInput(
            "CosyVoice's speech tokenizer needs the package s3tokenizer; use an environment made "
            "with `uv sync --extra cosyvoice`"
        ) from None
    return s3tokenizer
