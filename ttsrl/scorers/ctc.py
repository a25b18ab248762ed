"""CTC recognisers (wav2vec 2.0, HuBERT, W2v-BERT, Parakeet CTC, ...): greedy transcripts."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ttsrl.audio.waveform import Waveform
from ttsrl.models.hub import load_model, load_part, local_folder
from ttsrl.scorers.by_length import by_length


class CtcRecogniser:
    """Any `AutoModelForCTC` with its feature extractor and tokenizer."""

    max_duration_s = math.inf
    languages = None

    def __init__(self, model: str, device: str = "cpu", batch_size: int = 32) -> None:
        from transformers import AutoFeatureExtractor, AutoModelForCTC, AutoTokenizer

        folder = local_folder(model)
        self.device = device
        self.batch_size = batch_size
        self.model = load_model(AutoModelForCTC, folder).to(device)
        self.features = load_part(AutoFeatureExtractor, folder)
        self.tokenizer = load_part(AutoTokenizer, folder)

    def transcribe(
        self, waveforms: Sequence[Waveform], sample_rate_hz: int, languages: Sequence[str]
    ) -> list[str]:
        """Greedy transcripts; the language is the model's own."""
        rate_hz = int(self.features.sampling_rate)
        return by_length(self._hear, waveforms, sample_rate_hz, rate_hz, self.batch_size)

    def _hear(self, heard: list[Waveform], rate_hz: int) -> list[str]:
        import torch

        inputs = self.features(heard, sampling_rate=rate_hz, return_tensors="pt")
        with torch.inference_mode():
            ids_BT = self.model(**inputs.to(self.device)).logits.argmax(-1)
        return self.tokenizer.batch_decode(ids_BT)
