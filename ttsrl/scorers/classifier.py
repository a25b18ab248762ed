"""Classifier: how probable an audio classifier finds the label that speech is to have.

Any of transformers' `AutoModelForAudioClassification` (wav2vec 2.0, HuBERT, WavLM, W2v-BERT, AST,
Whisper's encoder): emotion, accent, language, age ... Softmax over its labels or, if it may choose
several (`problem_type` "multi_label_classification"), a sigmoid of each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ttsrl.audio.equal_lengths import equal_lengths
from ttsrl.audio.io import resample
from ttsrl.audio.waveform import Waveform
from ttsrl.audio.windows import windows_of
from ttsrl.errors import BadInput
from ttsrl.models.hub import folder_digest, load_model, load_part, local_folder
from ttsrl.models.labels import labels_in
from ttsrl.reward.components import Classifier
from ttsrl.scorers.base import SpeechSample

SHORTEST_S = 0.1
"""Shorter speech is padded to this: a convolution has to fit in."""
FRAMES_PER_S = 100
"""Of AST's spectrogram; its extractor counts its longest input in frames."""


class ClassifierScorer:
    """`classifier`: probability of an utterance's own label, or of the component's labels."""

    def __init__(self, component: Classifier, device: str, batch_size: int) -> None:
        from transformers import AutoFeatureExtractor, AutoModelForAudioClassification

        folder = local_folder(component.model)
        self._model = load_model(AutoModelForAudioClassification, folder).to(device)
        self._features = load_part(AutoFeatureExtractor, folder)
        config = self._model.config
        self._labels = labels_in(str(folder), config.to_dict())
        self._fixed = sorted({self._labels.index(name) for name in component.labels})
        self._several = config.problem_type == "multi_label_classification"
        self._device = device
        self._batch_size = batch_size
        self._rate_hz = int(self._features.sampling_rate)
        self._window = _longest(self._features, self._rate_hz)
        self.spec: Mapping[str, Any] = {"version": 1, "model": folder_digest(folder)}
        self.example: Mapping[str, Any] = {"label": next(iter(self._labels.index_of))}

    def score(self, speeches: Sequence[SpeechSample]) -> list[dict[str, float]]:
        """Mean over an utterance's windows. Raises BadInput for a label that is not known."""
        wanted = [self._wanted(speech) for speech in speeches]
        return [
            {"classifier": self._of(mean_L[labels])}
            for mean_L, labels in zip(self._means(speeches), wanted, strict=True)
        ]

    def likeliest(self, speeches: Sequence[SpeechSample]) -> list[str]:
        """The label that is likeliest for each utterance, over its windows."""
        name_of = {index: name for name, index in self._labels.index_of.items()}
        return [name_of[int(mean_L.argmax())] for mean_L in self._means(speeches)]

    def _means(self, speeches: Sequence[SpeechSample]) -> list[NDArray[np.float64]]:
        """[L] of each utterance: the mean over its windows."""
        windows: list[Waveform] = []
        owners: list[int] = []
        for n, speech in enumerate(speeches):
            for window in self._windows_of(speech):
                windows.append(window)
                owners.append(n)
        shares_WL, owner_W = self._probabilities(windows), np.array(owners)
        return [shares_WL[owner_W == n].mean(axis=0) for n in range(len(speeches))]

    def _of(self, shares: NDArray[np.float64]) -> float:
        """That it has any of the labels: they exclude each other, or the likeliest counts."""
        return float(shares.max() if self._several else min(1.0, shares.sum()))

    def _wanted(self, speech: SpeechSample) -> list[int]:
        if speech.label is not None:
            return [self._labels.index(speech.label)]
        if self._fixed:
            return self._fixed
        raise BadInput(
            "the utterance names no label, and the component classifier has none of its own; give "
            "the text a 'label', or set the component's 'labels'"
        )

    def _windows_of(self, speech: SpeechSample) -> list[Waveform]:
        heard = resample(speech.waveform, speech.sample_rate_hz, self._rate_hz)
        heard = np.pad(heard, (0, max(0, round(SHORTEST_S * self._rate_hz) - len(heard))))
        return [heard] if self._window is None else windows_of(heard, self._window)

    def _probabilities(self, windows: Sequence[Waveform]) -> NDArray[np.float64]:
        """[W, L]. Only equal lengths share a batch: padding is heard."""
        import torch

        shares: list[NDArray[np.float64]] = [np.empty(0)] * len(windows)
        with torch.inference_mode():
            for batch in equal_lengths(windows, self._batch_size):
                inputs = self._features(
                    [windows[n] for n in batch], sampling_rate=self._rate_hz, return_tensors="pt"
                )
                logits_BL = self._model(**inputs.to(self._device)).logits.double()
                found_BL = logits_BL.sigmoid() if self._several else logits_BL.softmax(-1)
                for n, share_L in zip(batch, found_BL.cpu().numpy(), strict=True):
                    shares[n] = share_L
        return np.stack(shares)


def _longest(features: Any, rate_hz: int) -> int | None:
    """Samples that the model hears at once; None where there is no limit."""
    if (samples := getattr(features, "n_samples", None)) is not None:  # Whisper
        return int(samples)
    if (frames := getattr(features, "max_length", None)) is not None:  # AST
        return int(frames) * rate_hz // FRAMES_PER_S
    return None
