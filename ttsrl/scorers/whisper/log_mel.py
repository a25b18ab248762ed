"""Whisper's log-mel spectrogram, computed where the model is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ttsrl.audio.waveform import Waveform
from ttsrl.errors import BadInput

if TYPE_CHECKING:
    from transformers import WhisperConfig, WhisperFeatureExtractor

DECADES = 8.0
"""Everything quieter than this many decades below the loudest is set to that level."""


FRAMES_PER_POSITION = 2
"""The encoder's second convolution halves them."""


def check_features(features: WhisperFeatureExtractor, config: WhisperConfig, folder: Path) -> None:
    """Raise BadInput unless a feature extractor makes what the encoder hears: bands and window."""
    pairs = {
        "mel bands (feature_size)": (features.feature_size, config.num_mel_bins),
        "frames in a window (sampling_rate, chunk_length, hop_length)": (
            features.sampling_rate * features.chunk_length // features.hop_length,
            FRAMES_PER_POSITION * config.max_source_positions,
        ),
    }
    for what, (found, wanted) in pairs.items():
        if found != wanted:
            raise BadInput(
                f"preprocessor_config.json of the Whisper at {folder} makes {found} {what}, and "
                f"its encoder hears {wanted}: they are of different models; copy the file of the "
                "model that it was made from"
            )


class LogMel:
    """`WhisperFeatureExtractor` in torch, in float32."""

    def __init__(self, features: WhisperFeatureExtractor, device: torch.device) -> None:
        self.size, self.hop = features.n_fft, features.hop_length
        self.samples = features.n_samples
        self.device = device
        self.window = torch.hann_window(self.size, device=device)
        filters_SM = np.asarray(features.mel_filters, dtype=np.float32)
        self.filters_MS = torch.from_numpy(filters_SM).to(device).T.contiguous()

    def __call__(self, waveforms: Sequence[Waveform]) -> Tensor:
        """Waveforms of at most a window, then silence -> log-mel, [B, M bands, F frames]."""
        longest = max(map(len, waveforms))
        pinned = self.device.type == "cuda"
        heard = torch.zeros(len(waveforms), longest, pin_memory=pinned)
        for row, waveform in zip(heard.numpy(), waveforms, strict=True):
            row[: len(waveform)] = waveform
        heard = heard.to(self.device, non_blocking=True)
        heard = F.pad(heard, (0, self.samples - longest))
        spectrum_BSF = torch.stft(
            heard, self.size, self.hop, window=self.window, return_complex=True
        )[..., : self.samples // self.hop]
        mel_BMF = (self.filters_MS @ spectrum_BSF.abs().square()).clamp_min(1e-10).log10()
        # The loudest of each utterance, never of the batch: a loud neighbour must not cut it off.
        mel_BMF = torch.maximum(mel_BMF, mel_BMF.amax((1, 2), keepdim=True) - DECADES)
        return (mel_BMF + 4.0) / 4.0
