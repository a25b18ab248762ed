"""Moonshine, Useful Sensors' recogniser of English: a Hugging Face model, or a package's weights.

Where the speech that its authors collected had no transcript, Whisper large-v3 wrote one (arXiv
2410.15608, part 3.2), so the two are kin though they have no weights in common.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from ttsrl.audio.waveform import Waveform
from ttsrl.errors import BadInput
from ttsrl.models.hub import load_model, load_part, local_folder
from ttsrl.models.packaged import PACKAGED, located
from ttsrl.scorers.base import Recogniser
from ttsrl.scorers.by_length import by_length
from ttsrl.scorers.moonshine_input import LONGEST_S, PACKAGE, RATE_HZ, most_tokens, prepared
from ttsrl.scorers.moonshine_packaged import PackagedMoonshine


def load_moonshine(model: str, device: str = "cpu", batch_size: int = 32) -> Recogniser:
    """A Hugging Face folder or id, or `moonshine_voice`, whose package has weights.

    Raises BadInput.
    """
    if model in PACKAGED:
        if model != PACKAGE:
            raise BadInput(f"the package {model} has no Moonshine; the package {PACKAGE} has one")
        return PackagedMoonshine(located(model))
    return Moonshine(model, device, batch_size)


class Moonshine:
    """By transformers."""

    max_duration_s = LONGEST_S
    languages = None

    def __init__(self, model: str, device: str = "cpu", batch_size: int = 32) -> None:
        """Raises BadInput."""
        from transformers import (
            AutoFeatureExtractor,
            AutoTokenizer,
            MoonshineForConditionalGeneration,
        )

        folder = local_folder(model)
        config = folder / "config.json"
        kind = json.loads(config.read_text()).get("model_type") if config.is_file() else None
        if kind != "moonshine":
            raise BadInput(
                f"the model at {folder} is {kind!r}, not a Moonshine; give one such as "
                f"UsefulSensors/moonshine-base, or {PACKAGE!r}"
            )
        self.device = device
        self.batch_size = batch_size
        self.model = load_model(MoonshineForConditionalGeneration, folder).to(device)
        self.features = load_part(AutoFeatureExtractor, folder)
        self.tokenizer = load_part(AutoTokenizer, folder)

    def transcribe(
        self, waveforms: Sequence[Waveform], sample_rate_hz: int, languages: Sequence[str]
    ) -> list[str]:
        """Greedy transcripts; only waveforms of equal length share a batch."""
        heard = [prepared(waveform, sample_rate_hz) for waveform in waveforms]
        return by_length(self._hear, heard, RATE_HZ, RATE_HZ, self.batch_size)

    def _hear(self, heard: list[Waveform], rate_hz: int) -> list[str]:
        import torch

        inputs = self.features(heard, sampling_rate=rate_hz, return_tensors="pt")
        with torch.inference_mode():
            ids_BT = self.model.generate(
                **inputs.to(self.device),
                max_length=most_tokens(heard[0]),
                do_sample=False,
                num_beams=1,
            )
        return self.tokenizer.batch_decode(ids_BT, skip_special_tokens=True)
