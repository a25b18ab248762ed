"""Speaker embeddings: whose voice a recording has, as a direction.

A folder or id is a Hugging Face WavLM with an x-vector head (arXiv 2110.13900); a file is the
speaker model of Seed-TTS-eval, `wavlm_large_finetune.pth`; `resemblyzer` is the encoder of that
package.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ttsrl.audio.equal_lengths import equal_lengths
from ttsrl.audio.io import resample
from ttsrl.audio.waveform import Waveform
from ttsrl.errors import BadInput
from ttsrl.models.hub import load_model, load_part, local_folder
from ttsrl.models.packaged import packaged_model

if TYPE_CHECKING:
    from torch import Tensor

RESEMBLYZER = "resemblyzer"
"""The package, and the name of its model in a run."""
SHORTEST_S = 1.0
"""Shorter speech is repeated to this length: the network's context needs a third of a second."""


class SpeakerModel(ABC):
    """Waveforms -> directions."""

    @abstractmethod
    def embed(self, waveforms: Sequence[Waveform], rates_hz: Sequence[int]) -> Tensor:
        """[N, D], of length 1, or 0 where nothing has a voice; alone and in any batch the same."""

    def reference(self, waveform: Waveform, rate_hz: int) -> Tensor:
        """[D] of a voice that speech is compared to. Raises BadInput if no voice is in it."""
        [embedded] = self.embed([waveform], [rate_hz])
        if not embedded.any():
            raise BadInput("no voice is heard in it; give a recording of speech")
        return embedded


class EqualLengthsModel(SpeakerModel):
    """A network whose statistics hear padding: only waveforms of one length share a batch."""

    rate_hz: int

    def __init__(self, batch_size: int) -> None:
        self._batch_size = batch_size

    def embed(self, waveforms: Sequence[Waveform], rates_hz: Sequence[int]) -> Tensor:
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


class XVector(EqualLengthsModel):
    """A Hugging Face WavLM with an x-vector head: its folder, or its id."""

    def __init__(self, model: str, device: str, batch_size: int) -> None:
        from transformers import AutoFeatureExtractor, WavLMForXVector

        super().__init__(batch_size)
        folder = local_folder(model)
        self._device = device
        self._model = load_model(WavLMForXVector, folder).to(device)
        self._features = load_part(AutoFeatureExtractor, folder)
        self.rate_hz = int(self._features.sampling_rate)

    def _embed(self, waveforms: list[Waveform]) -> Tensor:
        inputs = self._features(waveforms, sampling_rate=self.rate_hz, return_tensors="pt")
        return self._model(**inputs.to(self._device)).embeddings


class SeedTtsEval(EqualLengthsModel):
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


class Ge2e(SpeakerModel):
    """Resemblyzer's encoder: an LSTM with the generalised end-to-end loss (arXiv 1710.10467).

    Its own preparation (louder to -30 dBFS, long silences cut out by a voice detector) and its own
    mean over windows of 1.6 s. No element of its embeddings is negative, and so no cosine is.
    """

    def __init__(self, device: str) -> None:
        weights = packaged_model(RESEMBLYZER)

        from resemblyzer import VoiceEncoder

        self._encoder = VoiceEncoder(device, verbose=False, weights_fpath=weights)

    def embed(self, waveforms: Sequence[Waveform], rates_hz: Sequence[int]) -> Tensor:
        """One by one: what is cut out of each leaves another length."""
        import torch

        pairs = zip(waveforms, rates_hz, strict=True)
        return torch.from_numpy(np.stack([self._embed(w, rate_hz) for w, rate_hz in pairs]))

    def _embed(self, waveform: Waveform, rate_hz: int) -> NDArray[np.float32]:
        from resemblyzer import hparams, preprocess_wav

        voiced = preprocess_wav(waveform, source_sr=rate_hz) if waveform.any() else waveform[:0]
        if not len(voiced):
            return np.zeros(hparams.model_embedding_size, np.float32)
        return self._encoder.embed_utterance(voiced)


def load_speaker_model(model: str, device: str, batch_size: int) -> SpeakerModel:
    """Load a speaker model: a folder, a Hugging Face id, a file, a package. Raises BadInput."""
    if model == RESEMBLYZER and not Path(model).exists():
        return Ge2e(device)
    if (file := Path(model)).is_file():
        return SeedTtsEval(file, device, batch_size)
    return XVector(model, device, batch_size)
