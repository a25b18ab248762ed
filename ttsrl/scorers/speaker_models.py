"""Speaker embeddings: whose voice a recording has, as a direction.

A folder or id is a Hugging Face WavLM with an x-vector head (arXiv 2110.13900); a file is the
speaker model of Seed-TTS-eval, `wavlm_large_finetune.pth`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ttsrl.audio.equal_lengths import equal_lengths
from ttsrl.audio.io import resample
from ttsrl.audio.waveform import Waveform
from ttsrl.models.hub import load_model, local_folder

if TYPE_CHECKING:
    from torch import Tensor

SHORTEST_S = 1.0
"""Shorter speech is repeated to this length: the network's context needs a third of a second."""


class SpeakerModel(ABC):
    """What is common: the sample rate, the shortest length, batches."""

    rate_hz: int

    def __init__(self, batch_size: int) -> None:
        self._batch_size = batch_size

    def embed(self, waveforms: Sequence[Waveform], rates_hz: Sequence[int]) -> Tensor:
        """[N, D], of length 1. Only equal lengths share a batch: the statistics hear padding."""
        import torch

        heard = [self._prepare(w, rate) for w, rate in zip(waveforms, rates_hz, strict=True)]
        embedded: list[Tensor | None] = [None] * len(heard)
        with torch.inference_mode():
            for batch in equal_lengths(heard, self._batch_size):
                found_BD = self._embed([heard[n] for n in batch])
                for n, row_D in zip(batch, found_BD, strict=True):
                    embedded[n] = torch.nn.functional.normalize(row_D, dim=0)
        return torch.stack([row_D for row_D in embedded if row_D is not None])

    @abstractmethod
    def _embed(self, waveforms: list[Waveform]) -> Tensor:
        """[B, D] of waveforms of one length at `rate_hz`."""

    def _prepare(self, waveform: Waveform, sample_rate_hz: int) -> Waveform:
        heard = resample(waveform, sample_rate_hz, self.rate_hz)
        shortest = round(SHORTEST_S * self.rate_hz)
        return np.tile(heard, -(-shortest // len(heard)))[: max(len(heard), shortest)]


class XVector(SpeakerModel):
    """A Hugging Face WavLM with an x-vector head: its folder, or its id."""

    def __init__(self, model: str, device: str, batch_size: int) -> None:
        from transformers import AutoFeatureExtractor, WavLMForXVector

        super().__init__(batch_size)
        folder = local_folder(model)
        self._device = device
        self._model = load_model(WavLMForXVector, folder).to(device)
        self._features = AutoFeatureExtractor.from_pretrained(folder)
        self.rate_hz = int(self._features.sampling_rate)

    def _embed(self, waveforms: list[Waveform]) -> Tensor:
        inputs = self._features(waveforms, sampling_rate=self.rate_hz, return_tensors="pt")
        return self._model(**inputs.to(self._device)).embeddings


class SeedTtsEval(SpeakerModel):
    """The speaker model whose cosine Seed-TTS-eval reports as SIM."""

    rate_hz = 16_000

    def __init__(self, file: Path, device: str, batch_size: int) -> None:
        from ttsrl.scorers.wavlm_ecapa import load_wavlm_ecapa

        super().__init__(batch_size)
        self._device = device
        self._model = load_wavlm_ecapa(file).to(device)

    def _embed(self, waveforms: list[Waveform]) -> Tensor:
        import torch

        heard_BT = torch.from_numpy(np.stack(waveforms)).to(self._device)
        return self._model(torch.nn.functional.layer_norm(heard_BT, heard_BT.shape[-1:]))


def load_speaker_model(model: str, device: str, batch_size: int) -> SpeakerModel:
    """Load a speaker model from a folder, a Hugging Face id or a file. Raises BadInput."""
    if (file := Path(model)).is_file():
        return SeedTtsEval(file, device, batch_size)
    return XVector(model, device, batch_size)
