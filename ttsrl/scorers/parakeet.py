"""Parakeet, NVIDIA's recogniser: CTC and TDT through transformers, `.nemo` files through NeMo."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ttsrl.audio.waveform import Waveform
from ttsrl.errors import BadInput
from ttsrl.models.hub import load_model, load_part, local_folder
from ttsrl.scorers.base import Recogniser
from ttsrl.scorers.by_length import by_length


def load_parakeet(model: str, device: str = "cpu", batch_size: int = 32) -> Recogniser:
    """The recogniser of a `.nemo` file, or of a Hugging Face folder or id by its model_type."""
    if model.endswith(".nemo"):
        return ParakeetNemo(Path(model), device, batch_size)
    folder = local_folder(model)
    config = folder / "config.json"
    kind = json.loads(config.read_text()).get("model_type") if config.is_file() else None
    match kind:
        case "parakeet_ctc":
            from ttsrl.scorers.ctc import CtcRecogniser

            return CtcRecogniser(str(folder), device, batch_size)
        case "parakeet_tdt":
            return ParakeetTdt(folder, device, batch_size)
        case _:
            raise BadInput(
                f"the model at {folder} is {kind!r}; give a parakeet_ctc or parakeet_tdt, or a "
                ".nemo file"
            )


class ParakeetTdt:
    """Token-and-duration transducer: greedy, by transformers' own generation."""

    max_duration_s = math.inf
    languages = None

    def __init__(self, folder: Path, device: str, batch_size: int) -> None:
        from transformers import AutoFeatureExtractor, AutoTokenizer, ParakeetForTDT

        self.device = device
        self.batch_size = batch_size
        self.model = load_model(ParakeetForTDT, folder).to(device)
        self.features = load_part(AutoFeatureExtractor, folder)
        self.tokenizer = load_part(AutoTokenizer, folder)
        config = self.model.config
        self._unwritten = {config.blank_token_id, config.pad_token_id}
        # Durations stand behind the tokens in the logits, where generation takes them for tokens.
        count = len(config.durations)
        self._durations = list(range(config.vocab_size, config.vocab_size + count))

    def transcribe(
        self, waveforms: Sequence[Waveform], sample_rate_hz: int, languages: Sequence[str]
    ) -> list[str]:
        """Greedy transcripts; only waveforms of equal length share a batch."""
        import torch

        def hear(heard: list[Waveform], rate_hz: int) -> list[str]:
            inputs = self.features(heard, sampling_rate=rate_hz, return_tensors="pt")
            with torch.inference_mode():
                ids_BT = self.model.generate(
                    **inputs.to(self.device), suppress_tokens=self._durations
                ).sequences.tolist()
            written = [[i for i in ids if i not in self._unwritten] for ids in ids_BT]
            # A transducer that writes a token twice means it twice: no grouping, as CTC needs.
            return [
                self.tokenizer.decode(ids, skip_special_tokens=True, group_tokens=False)
                for ids in written
            ]

        return by_length(
            hear, waveforms, sample_rate_hz, int(self.features.sampling_rate), self.batch_size
        )


class ParakeetNemo:
    """A `.nemo` file, CTC or TDT, by NeMo itself; needs the extra `parakeet`."""

    max_duration_s = math.inf
    languages = None

    def __init__(self, file: Path, device: str, batch_size: int) -> None:
        if not file.is_file():
            raise BadInput(f"no such file: {file}; give a .nemo file, or a Hugging Face Parakeet")
        try:
            # NeMo has an environment of its own, which this check does not see.
            from nemo.collections.asr.models import ASRModel  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise BadInput(
                f"reading {file} needs NeMo, which shares no environment with training: serve the "
                "reward from one of its own (uv sync --extra reward --extra parakeet), or give the "
                f"model's Hugging Face form ({error})"
            ) from None
        self.batch_size = batch_size
        self.model: Any = ASRModel.restore_from(str(file), map_location=device).eval()

    def transcribe(
        self, waveforms: Sequence[Waveform], sample_rate_hz: int, languages: Sequence[str]
    ) -> list[str]:
        """Greedy transcripts; only waveforms of equal length share a batch."""

        def hear(heard: list[Waveform], rate_hz: int) -> list[str]:
            found = self.model.transcribe(heard, batch_size=len(heard), verbose=False)
            return [hypothesis.text for hypothesis in found]

        rate_hz = int(self.model.cfg.sample_rate)
        return by_length(hear, waveforms, sample_rate_hz, rate_hz, self.batch_size)
