"""Frozen audio embeddings: what a self-supervised network or Whisper's encoder makes of speech.

Mean and standard deviation over time of the mean over all layers: later layers know words, earlier
ones how they are said, and statistics pooling keeps how much a feature moves (x-vectors, Snyder et
al. 2018).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ttsrl.audio.equal_lengths import equal_lengths
from ttsrl.audio.io import resample
from ttsrl.audio.waveform import Waveform
from ttsrl.models.hub import load_model, load_part, local_folder

if TYPE_CHECKING:
    from torch import Tensor

HEADS = (
    r"^(lm_head|proj_out|classifier|projector|quantizer|project_q|project_hid)\b",
    r"^(objective|tdnn|layer_weights)\b",
)
"""What recognisers, classifiers and pre-training put on top of the network that embeds."""
SHORTEST_S = 0.1
"""Shorter speech is padded to this: a convolution has to fit in."""


class Embedder:
    """Waveforms -> vectors, the same alone and in any batch to 1e-5 of their size."""

    def __init__(self, model: str, device: str = "cpu", batch_size: int = 32) -> None:
        from transformers import AutoConfig, AutoFeatureExtractor, AutoModel

        folder = local_folder(model)
        kind = load_part(AutoConfig, folder).model_type
        self._features = load_part(AutoFeatureExtractor, folder)
        network: Any = load_model(AutoModel, folder, without=HEADS)
        self._whisper = kind == "whisper"
        self._network = (network.get_encoder() if self._whisper else network).to(device)
        self._device = device
        self._batch_size = batch_size
        self._rate_hz = int(self._features.sampling_rate)
        if self._whisper:
            self._window = int(self._features.n_samples)
            self._hop = 2 * int(self._features.hop_length)

    def embed(
        self, waveforms: Sequence[Waveform], sample_rates_hz: Sequence[int]
    ) -> NDArray[np.float64]:
        """[N, 2 x hidden size]."""
        import torch

        heard = [
            self._at_least(resample(w, rate_hz, self._rate_hz))
            for w, rate_hz in zip(waveforms, sample_rates_hz, strict=True)
        ]
        with torch.inference_mode():
            states = self._whole_windows(heard) if self._whisper else self._equal_lengths(heard)
            pooled = [torch.cat([s_TD.mean(0), s_TD.std(0, correction=0)]) for s_TD in states]
            return torch.stack(pooled).double().cpu().numpy()

    def _at_least(self, waveform: Waveform) -> Waveform:
        missing = round(SHORTEST_S * self._rate_hz) - len(waveform)
        return np.pad(waveform, (0, max(0, missing)))

    def _equal_lengths(self, waveforms: list[Waveform]) -> list[Tensor]:
        """Hidden states [T, D] of each; only equal lengths share a batch: padding is heard."""
        states: list[Any] = [None] * len(waveforms)
        for batch in equal_lengths(waveforms, self._batch_size):
            inputs = self._features(
                [waveforms[n] for n in batch], sampling_rate=self._rate_hz, return_tensors="pt"
            )
            for n, state_TD in zip(batch, self._hidden(**inputs), strict=True):
                states[n] = state_TD
        return states

    def _whole_windows(self, waveforms: list[Waveform]) -> list[Tensor]:
        """Hidden states [T, D] of each, without those of the silence that fills its last window."""
        import torch

        pieces = [
            (n, w[start : start + self._window])
            for n, w in enumerate(waveforms)
            for start in range(0, len(w), self._window)
        ]
        states: list[list[Tensor]] = [[] for _ in waveforms]
        for first in range(0, len(pieces), self._batch_size):
            batch = pieces[first : first + self._batch_size]
            inputs = self._features(
                [piece for _, piece in batch], sampling_rate=self._rate_hz, return_tensors="pt"
            )
            hidden_BTD = self._hidden(input_features=inputs.input_features)
            for (n, piece), state_TD in zip(batch, hidden_BTD, strict=True):
                states[n].append(state_TD[: max(1, len(piece) // self._hop)])
        return [torch.cat(of_one) for of_one in states]

    def _hidden(self, **inputs: Any) -> Tensor:
        """[B, T, D]."""
        import torch

        on_device = {name: tensor.to(self._device) for name, tensor in inputs.items()}
        layers = self._network(**on_device, output_hidden_states=True).hidden_states
        return torch.stack(layers).mean(0)
