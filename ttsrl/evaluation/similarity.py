"""Whether the speech has the voice it was asked for: cosine of two speaker embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ttsrl.audio.voice_prompt import read_voice
from ttsrl.errors import BadInput
from ttsrl.evaluation.suites import Suite, SuiteText
from ttsrl.scorers.speaker_models import load_speaker_model
from ttsrl.synthesis.synthesiser import SynthesisedSpeech

if TYPE_CHECKING:
    from torch import Tensor


class Similarity:
    """The suite's speaker model, and the recordings that it has heard already."""

    def __init__(self, suite: Suite, device: str, batch_size: int) -> None:
        assert suite.speaker_model is not None
        self._folder = suite.folder
        self._model = load_speaker_model(suite.speaker_model, device, batch_size)
        self._heard: dict[str, Tensor] = {}

    def to_voices(
        self, speeches: Sequence[SynthesisedSpeech], texts: Sequence[SuiteText]
    ) -> list[float | None]:
        """Cosine, -1 to 1, of each utterance with its text's recording; None without either."""
        cosines: list[float | None] = [None] * len(texts)
        both = [
            (k, text.voice)
            for k, text in enumerate(texts)
            if text.voice is not None and len(speeches[k].waveform)
        ]
        if not both:
            return cosines
        said = self._model.embed(
            [speeches[k].waveform for k, _ in both], [speeches[k].sample_rate_hz for k, _ in both]
        )
        for (k, voice), embedded in zip(both, said, strict=True):
            if voice.sha256 not in self._heard:
                self._heard[voice.sha256] = self._reference(self._folder / voice.audio)
            cosines[k] = float(embedded @ self._heard[voice.sha256])
        return cosines

    def _reference(self, file: Path) -> Tensor:
        """[D]. Raises BadInput."""
        recording = read_voice(file)
        try:
            return self._model.reference(*recording)
        except BadInput as error:
            raise BadInput(f"voice prompt {file}: {error}") from None
