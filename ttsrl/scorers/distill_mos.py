"""DistillMOS: what listeners would say of a recording, 1 to 5, by a network distilled from XLS-R.

Microsoft's network and weights as the package distillmos carries them (MIT; Stahl and Gamper 2025,
arXiv 2502.05356). Its way of listening: windows of 7.68 s at 16 kHz that cover the signal evenly,
at most 1 s apart, a shorter signal filled up with silence; the mean over the windows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ttsrl.audio.io import resample
from ttsrl.audio.waveform import Waveform
from ttsrl.models.hub import fill, model_digest
from ttsrl.models.packaged import packaged_model
from ttsrl.scorers.base import SpeechSample

PACKAGE = "distillmos"
RATE_HZ = 16_000
WINDOW = 122_880
"""Samples that the network hears at once."""


class DistillMosScorer:
    """`distillmos`."""

    example: Mapping[str, Any] = {}

    def __init__(self, device: str, batch_size: int) -> None:
        import torch

        weights = packaged_model(PACKAGE)

        from distillmos import ConvTransformerSQAModel

        # Loaded here, because the class itself would print where its weights lie.
        self._model = ConvTransformerSQAModel(load_weights=False, segmenting_in_forward=False)
        loaded: Any = torch.load(weights, map_location="cpu", weights_only=True)
        fill(self._model, loaded["model"], weights)
        self._model.to(device).eval()
        self._device = device
        self._batch_size = batch_size
        self.spec: Mapping[str, Any] = {"version": 1, "model": model_digest(PACKAGE)}

    def score(self, speeches: Sequence[SpeechSample]) -> list[dict[str, float]]:
        """Mean over an utterance's windows; windows share batches, nothing else."""
        import torch

        windows: list[Waveform] = []
        owners: list[int] = []
        for n, speech in enumerate(speeches):
            for window in windows_of(resample(speech.waveform, speech.sample_rate_hz, RATE_HZ)):
                windows.append(window)
                owners.append(n)
        scores: list[float] = []
        with torch.inference_mode():
            for first in range(0, len(windows), self._batch_size):
                heard_BT = torch.from_numpy(np.stack(windows[first : first + self._batch_size]))
                scores += self._model(heard_BT.to(self._device)).tolist()
        scores_W, owner_W = np.array(scores), np.array(owners)
        return [{"distillmos": float(scores_W[owner_W == n].mean())} for n in range(len(speeches))]


def windows_of(waveform: Waveform) -> list[Waveform]:
    """Windows of `WINDOW` samples that cover a waveform [T], cut as by the package's own class."""
    beyond = max(0, len(waveform) - WINDOW)
    filled = np.pad(waveform, (0, max(0, WINDOW - len(waveform))))
    count = -(-beyond // RATE_HZ) + 1
    starts = [int(share * beyond) for share in np.linspace(0, 1, count)]
    return [filled[start : start + WINDOW] for start in starts]
