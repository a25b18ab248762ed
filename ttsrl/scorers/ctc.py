"""CTC recognisers (wav2vec 2.0, HuBERT, W2v-BERT, Parakeet CTC, ...): greedy transcripts."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ttsrl.audio.equal_lengths import equal_lengths
from ttsrl.audio.io import resample
from ttsrl.audio.waveform import Waveform
from ttsrl.models.hub import load_model, load_part, local_folder


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
        """Greedy transcripts; the language is the model's own.

        Only waveforms of equal length share a batch: many of these models hear padding.
        """
        import torch

        rate_hz = int(self.features.sampling_rate)
        heard = [resample(waveform, sample_rate_hz, rate_hz) for waveform in waveforms]
        transcripts = [""] * len(heard)
        with torch.inference_mode():
            for batch in equal_lengths(heard, self.batch_size):
                texts = self._transcribe([heard[n] for n in batch], rate_hz)
                for n, text in zip(batch, texts, strict=True):
                    transcripts[n] = text
        return transcripts

    def _transcribe(self, waveforms: list[Waveform], rate_hz: int) -> list[str]:
        inputs = self.features(waveforms, sampling_rate=rate_hz, return_tensors="pt")
        ids_BT = self.model(**inputs.to(self.device)).logits.argmax(-1)
        return [text.strip() for text in self.tokenizer.batch_decode(ids_BT)]
