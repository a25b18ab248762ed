"""Whether the speech has the voice it was asked for: cosines of speaker embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ttsrl.audio.voice_prompt import read_voice
from ttsrl.errors import BadInput
from ttsrl.evaluation.suites import Suite, SuiteText
from ttsrl.records.evaluation import PromptRecording
from ttsrl.scorers.speaker_models import load_speaker_model
from ttsrl.synthesis.synthesiser import SynthesisedSpeech

if TYPE_CHECKING:
    from torch import Tensor


MAX_VOICES = 64
"""Of a suite with more recordings the nearest voice is not looked for: each is one text's own."""


@dataclass(frozen=True)
class ToVoice:
    """How one utterance lies to the voices of its suite."""

    cosine: float
    """With its text's recording, -1 to 1."""
    nearest: str | None
    """`sha256` of the most similar recording; None in a suite of more than `MAX_VOICES`."""


class Similarity:
    """The suite's speaker model, and the recordings that it has heard already."""

    def __init__(self, suite: Suite, device: str, batch_size: int) -> None:
        assert suite.speaker_model is not None
        self._folder = suite.folder
        self._model = load_speaker_model(suite.speaker_model, device, batch_size)
        self._heard: dict[str, Tensor] = {}
        voices = {text.voice.sha256: text.voice for text in suite.texts if text.voice is not None}
        self._voices = [voices[digest] for digest in sorted(voices)]

    def to_voices(
        self, speeches: Sequence[SynthesisedSpeech], texts: Sequence[SuiteText]
    ) -> list[ToVoice | None]:
        """Of each utterance; None without speech or recording. Raises BadInput."""
        found: list[ToVoice | None] = [None] * len(texts)
        both = [
            (k, text.voice)
            for k, text in enumerate(texts)
            if text.voice is not None and len(speeches[k].waveform)
        ]
        if not both:
            return found
        said = self._model.embed(
            [speeches[k].waveform for k, _ in both], [speeches[k].sample_rate_hz for k, _ in both]
        )
        for (k, voice), embedded in zip(both, said, strict=True):
            cosine = float(embedded @ self._of(voice))
            found[k] = ToVoice(cosine, self._nearest(embedded))
        return found

    def _nearest(self, embedded: Tensor) -> str | None:
        if not 1 < len(self._voices) <= MAX_VOICES:
            return None
        return max(self._voices, key=lambda voice: float(embedded @ self._of(voice))).sha256

    def _of(self, voice: PromptRecording) -> Tensor:
        """[D] of a recording, heard once."""
        if voice.sha256 not in self._heard:
            self._heard[voice.sha256] = self._reference(self._folder / voice.audio)
        return self._heard[voice.sha256]

    def _reference(self, file: Path) -> Tensor:
        """[D]. Raises BadInput."""
        recording = read_voice(file)
        try:
            return self._model.reference(*recording)
        except BadInput as error:
            raise BadInput(f"voice prompt {file}: {error}") from None
