"""MelCodec: the codec of the example voice, a codebook of 4 096 at 25 tokens per second."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ttsrl.audio.waveform import Waveform
from ttsrl.codecs.base import check_tokens
from ttsrl.codecs.config_file import read_config
from ttsrl.codecs.mel_network import MelCodecConfig, MelCodecModel
from ttsrl.models.hub import fill, read_weights

STEP = ".step"
"""End of the name of an int8 tensor's steps: each of its rows is multiplied by one number."""
BATCH = 64
"""Utterances of like lengths that are decoded or encoded together."""


class MelCodec:
    """A trained MelCodec; see `ttsrl.codecs.base.Codec`."""

    def __init__(self, model: MelCodecModel, device: str = "cpu") -> None:
        self.model = model.to(device).float().eval()
        self.device = device
        config = model.config
        self.codebook_size = config.codebook_size
        self.sample_rate_hz = config.sample_rate_hz
        self.tokens_per_s = config.sample_rate_hz / config.samples_per_token

    @classmethod
    def load(cls, path: str, device: str = "cpu") -> MelCodec:
        """Load config.json and model.safetensors of a folder; computes in float32.

        Raises BadInput.
        """
        config = read_config(Path(path), MelCodecConfig, "mel codec")
        model = MelCodecModel(config)
        fill(model, widened(read_weights(Path(path))), path)
        return cls(model, device)

    @torch.inference_mode()
    def decode(self, tokens_B: Sequence[Sequence[int]]) -> list[Waveform]:
        """Decode utterances of any lengths >= 1; ValueError for tokens outside the codebook."""
        for tokens in tokens_B:
            check_tokens(tokens, self.codebook_size)
        waveforms: dict[int, Waveform] = {}
        for rows in _of_like_lengths(tokens_B):
            lengths = torch.tensor([len(tokens_B[row]) for row in rows])
            padded = torch.zeros(len(rows), int(lengths.max()), dtype=torch.long)
            for n, row in enumerate(rows):
                padded[n, : lengths[n]] = torch.tensor(tokens_B[row])
            points = self.model.quantizer.points(padded.to(self.device))
            samples = self.model.synthesise(points, lengths.to(self.device)).clamp(-1.0, 1.0)
            size = self.model.config.samples_per_token
            for row, length, one in zip(rows, lengths.tolist(), samples.cpu().numpy(), strict=True):
                waveforms[row] = one[: length * size].copy()
        return [waveforms[row] for row in range(len(tokens_B))]

    @torch.inference_mode()
    def encode(self, waveforms_B: Sequence[Waveform]) -> list[list[int]]:
        """Encode recordings of any lengths >= 1, each one's end padded to a whole token."""
        size = self.model.config.samples_per_token
        tokens: dict[int, list[int]] = {}
        for rows in _of_like_lengths(waveforms_B):
            lengths = [-(-len(waveforms_B[row]) // size) for row in rows]
            padded = np.zeros((len(rows), max(lengths) * size), np.float32)
            for samples, row in zip(padded, rows, strict=True):
                samples[: len(waveforms_B[row])] = waveforms_B[row]
            known = torch.tensor(lengths, device=self.device)
            latents = self.model.latents(torch.from_numpy(padded).to(self.device), known)
            found = self.model.quantizer.tokens(latents).tolist()
            tokens.update((row, found[n][: lengths[n]]) for n, row in enumerate(rows))
        return [tokens[row] for row in range(len(waveforms_B))]


def widened(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights as the network has them: int8 rows times their steps, all else in float32."""
    wide: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        if name.endswith(STEP):
            continue
        if tensor.dtype == torch.int8:
            step = weights[name + STEP].float()
            wide[name] = (tensor.float().flatten(1) * step[:, None]).view(tensor.shape)
        else:
            wide[name] = tensor.float() if tensor.is_floating_point() else tensor
    return wide


def _of_like_lengths(sequences: Sequence[Sequence[int] | Waveform]) -> list[list[int]]:
    """Indices by length, in batches."""
    order = sorted(range(len(sequences)), key=lambda n: len(sequences[n]))
    return [order[first : first + BATCH] for first in range(0, len(order), BATCH)]
