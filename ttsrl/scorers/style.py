"""Style: how well speech fits the description of its style, by CLAP.

Cosine between the audio's and the text's embedding, -1 to 1 (Wu et al. 2023, arXiv 2211.06687).
CLAP hears 10 s at 48 kHz. Longer speech is heard in as many windows as cover it, evenly spaced, and
has the mean of their cosines: no second is unheard, and nothing is drawn at random as CLAP's own
crop is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ttsrl.audio.io import resample
from ttsrl.audio.waveform import Waveform
from ttsrl.audio.windows import windows_of
from ttsrl.errors import BadInput
from ttsrl.models.files import folder_digest
from ttsrl.models.hub import load_model, load_part, local_folder
from ttsrl.reward.components import Style
from ttsrl.scorers.base import SpeechSample

if TYPE_CHECKING:
    from torch import Tensor


class StyleScorer:
    """`style`: cosine of an utterance and its own style text, or the component's fixed one."""

    example: Mapping[str, Any] = {"style": "a person speaking"}

    def __init__(self, component: Style, device: str, batch_size: int) -> None:
        from transformers import AutoTokenizer, ClapFeatureExtractor, ClapModel

        folder = local_folder(component.model)
        self.spec: Mapping[str, Any] = {"version": 1, "model": folder_digest(folder)}
        self._fixed = component.text
        self._device = device
        self._batch_size = batch_size
        self._model = load_model(ClapModel, folder).to(device)
        self._features = load_part(ClapFeatureExtractor, folder)
        self._tokenizer = load_part(AutoTokenizer, folder)
        self._rate_hz = int(self._features.sampling_rate)
        self._window = int(self._features.nb_max_samples)
        self._fused = bool(self._model.config.audio_config.enable_fusion)
        self._text_embedding = lru_cache(maxsize=4_096)(self._embed_text)

    def score(self, speeches: Sequence[SpeechSample]) -> list[dict[str, float]]:
        """The cosine with each utterance's style. Raises BadInput where it has none."""
        own = [[self._style_of(speech)] for speech in speeches]
        return [{"style": cosine} for [cosine] in self._cosines(speeches, own)]

    def nearest(self, speeches: Sequence[SpeechSample], styles: Sequence[str]) -> list[str]:
        """The one of the styles that fits each utterance best."""
        cosines_NS = self._cosines(speeches, [[*styles]] * len(speeches))
        return [styles[int(np.argmax(cosines_S))] for cosines_S in cosines_NS]

    def _cosines(
        self, speeches: Sequence[SpeechSample], styles: Sequence[list[str]]
    ) -> list[list[float]]:
        """Of each utterance with each of its styles, as many for each: means over its windows.

        Windows have one length, so that they share batches and nothing else.
        """
        import torch

        windows: list[Waveform] = []
        owners: list[int] = []
        for n, speech in enumerate(speeches):
            heard = resample(speech.waveform, speech.sample_rate_hz, self._rate_hz)
            for window in windows_of(heard, self._window):
                windows.append(window)
                owners.append(n)
        cosines: list[list[list[float]]] = [[] for _ in speeches]
        with torch.inference_mode():
            texts_NSD = torch.stack(
                [
                    torch.stack([self._text_embedding(style) for style in of_one])
                    for of_one in styles
                ]
            )
            for first in range(0, len(windows), self._batch_size):
                batch = slice(first, first + self._batch_size)
                audio_BD = self._embed_audio(windows[batch])
                of_each_BS = (audio_BD[:, None] * texts_NSD[owners[batch]]).sum(-1).tolist()
                for n, cosines_S in zip(owners[batch], of_each_BS, strict=True):
                    cosines[n].append(cosines_S)
        return [np.mean(found, axis=0).tolist() for found in cosines]

    def _style_of(self, speech: SpeechSample) -> str:
        if style := speech.style or self._fixed:
            return style
        raise BadInput(
            "the utterance names no style, and the component style has no fixed text; give the "
            "text a 'style', or set the component's 'text'"
        )

    def _embed_text(self, style: str) -> Tensor:
        """[D], of length 1. Each text for itself: padding would move it."""
        inputs = self._tokenizer(style, truncation=True, max_length=77, return_tensors="pt")
        return self._model.get_text_features(**inputs.to(self._device)).pooler_output[0]

    def _embed_audio(self, windows: list[Waveform]) -> Tensor:
        """[B, D], of length 1."""
        import torch

        inputs = self._features(
            windows,
            sampling_rate=self._rate_hz,
            truncation="fusion" if self._fused else "rand_trunc",
            return_tensors="pt",
        )
        # Where no clip is longer than a window the extractor calls one so, drawn at random.
        inputs["is_longer"] = torch.zeros(len(windows), 1, dtype=torch.bool)
        return self._model.get_audio_features(**inputs.to(self._device)).pooler_output
