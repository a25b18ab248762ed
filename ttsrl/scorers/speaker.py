"""Speaker similarity: an utterance's voice against its reference voice.

Cosine of the two embeddings, -1 to 1 (`ttsrl.scorers.speaker_models`). Reference voices are
recordings in one folder, `NAME.wav` (flac, ogg or mp3) for the speaker NAME; each is heard once.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import soundfile

from ttsrl.audio.io import SUFFIXES, read_recording
from ttsrl.errors import BadInput, did_you_mean
from ttsrl.models.files import folder_digest
from ttsrl.models.hub import model_digest
from ttsrl.reward.components import Speaker
from ttsrl.scorers.base import SpeechSample
from ttsrl.scorers.reference import RATE_HZ, vowels
from ttsrl.scorers.speaker_models import load_speaker_model

if TYPE_CHECKING:
    from torch import Tensor


KEPT_REFERENCES = 1_024
"""Recordings of utterances whose embeddings are kept."""


class SpeakerScorer:
    """`speaker`: cosine of an utterance and the voice it names, the component's own voice or, where
    the component has no folder of voices, the utterance's reference."""

    def __init__(self, component: Speaker, device: str, batch_size: int) -> None:
        voices = Path(component.voices) if component.voices is not None else None
        self._files = voices_in(voices) if voices is not None else {}
        if component.voice is not None:
            self._file_of(component.voice)
        self.spec: Mapping[str, Any] = {
            "version": 1,
            "model": model_digest(component.model),
            # the rule, not the recordings, which come with the utterances
            "voices": folder_digest(voices) if voices is not None else "references",
        }
        self.example: Mapping[str, Any] = (
            {"speaker": next(iter(self._files))} if self._files else {"reference": _example()}
        )
        self._heard = lru_cache(maxsize=KEPT_REFERENCES)(self._hear)
        self._voice = component.voice
        self._model = load_speaker_model(component.model, device, batch_size)
        self._reference: dict[str, Tensor] = {}

    def score(self, speeches: Sequence[SpeechSample]) -> list[dict[str, float]]:
        """Raises BadInput for a voice that is not in the folder."""
        import torch

        references = [
            self._reference_of(s.speaker or self._voice) if self._files else self._own(s)
            for s in speeches
        ]
        embedded_ND = self._model.embed(
            [s.waveform for s in speeches], [s.sample_rate_hz for s in speeches]
        )
        cosines = (embedded_ND * torch.stack(references)).sum(-1).tolist()
        return [{"speaker": cosine} for cosine in cosines]

    def _own(self, speech: SpeechSample) -> Tensor:
        """[D], of length 1."""
        if speech.reference is None:
            raise BadInput(
                "the utterance has no reference with a recording, and the component speaker "
                "compares with it; give the text prompt_audio, or set the component's 'voices'"
            )
        return self._heard(speech.reference)

    def _hear(self, audio: bytes) -> Tensor:
        try:
            return self._model.reference(*read_recording(audio))
        except BadInput as error:
            raise BadInput(f"the reference: {error}") from None

    def _reference_of(self, name: str | None) -> Tensor:
        """[D], of length 1."""
        if name is None:
            raise BadInput(
                "the utterance names no speaker, and the component speaker has no voice of its "
                "own; give the text a 'speaker', or set the component's 'voice'"
            )
        if name not in self._reference:
            file = self._file_of(name)
            try:
                self._reference[name] = self._model.reference(*read_recording(file))
            except BadInput as error:
                raise BadInput(f"reference voice {file}: {error}") from None
        return self._reference[name]

    def _file_of(self, name: str) -> Path:
        if name in self._files:
            return self._files[name]
        folder = next(iter(self._files.values())).parent
        raise BadInput(f"no voice {name!r} in {folder}{did_you_mean(name, self._files)}")


def _example() -> bytes:
    """Two seconds of a voice as an audio file, for the self-test."""
    file = io.BytesIO()
    soundfile.write(file, vowels(2.0), RATE_HZ, format="WAV")
    return file.getvalue()


def voices_in(folder: Path) -> dict[str, Path]:
    """Speaker -> recording, of a folder. Raises BadInput."""
    if not folder.is_dir():
        raise BadInput(f"no folder of reference voices at {folder}; put NAME.wav files into one")
    files: dict[str, Path] = {}
    for file in sorted(folder.iterdir()):
        if file.suffix.lower() not in SUFFIXES or file.name.startswith("."):
            continue
        if other := files.get(file.stem):
            raise BadInput(
                f"the voice {file.stem!r} may be {other.name} or {file.name} in {folder}; remove "
                "or rename one of them"
            )
        files[file.stem] = file
    if not files:
        raise BadInput(f"no reference voice in {folder}; put NAME.wav (flac, ogg, mp3) files there")
    return files
