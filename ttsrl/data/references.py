"""References: the recordings in whose voices texts are spoken, in training and on held-out texts.

A text names its own (`prompt_audio` or `prompt_tokens`, with `prompt_text`), or gets one of the
voices of `data.references`: a function of seed and text alone. Recordings are encoded once each.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ttsrl.audio.io import SUFFIXES, resample
from ttsrl.audio.voice_prompt import read_voice
from ttsrl.codecs.base import Encoder
from ttsrl.codecs.registry import load_encoder
from ttsrl.config.schema import RunConfig
from ttsrl.data.sources import parquet_files, read_parquet
from ttsrl.data.speech_prefix import check_codes
from ttsrl.data.split import words
from ttsrl.data.texts import Text
from ttsrl.data.token_shards import codec_of, encoder_digest
from ttsrl.errors import BadInput, shorten
from ttsrl.families.conditions import VoiceReference
from ttsrl.families.registry import family_class
from ttsrl.lines.text import text_of
from ttsrl.models.hub import local_folder


@dataclass(frozen=True)
class DataVoice:
    """A recording, as a text's row has it."""

    text: str
    """What is said in it."""
    tokens: list[int]
    audio: str | None
    """Its file; None where only the tokens are there."""
    sha256: str | None
    """Of the file."""

    @property
    def row(self) -> dict[str, Any]:
        return dict(vars(self))


def reference_in(extra_info: Mapping[str, Any]) -> VoiceReference | None:
    """The reference of a row that `prepare` has written."""
    found = extra_info.get("reference")
    return VoiceReference(found["text"], [int(t) for t in found["tokens"]]) if found else None


class References:
    """The reference of each text of a run. Raises BadInput for one that cannot be used."""

    def __init__(self, run: RunConfig) -> None:
        self._run = run
        self._encoder: Encoder | None = None
        self._encoded: dict[str, list[int]] = {}
        self._voices = self._read(run.data.references.voices) if run.data.references else []

    def of(self, text: Text) -> DataVoice | None:
        """The text's own reference, else a drawn one, else None."""
        if text.prompt_text is None:
            return self._drawn(text)
        voice = self._voice(text.prompt_text, text.prompt_audio, text.prompt_tokens)
        if words(voice.text) == words(text.text):
            raise BadInput(
                f"the reference of text {shorten(text.text)} says the text itself, so that nothing "
                "is left to say; give another recording, or let prompts begin with a part of the "
                "text's own (data.prefix)"
            )
        return voice

    def _drawn(self, text: Text) -> DataVoice | None:
        if not self._voices:
            return None
        others = [voice for voice in self._voices if words(voice.text) != words(text.text)]
        if not others:
            raise BadInput(
                f"every voice of data.references says the text {shorten(text.text)} itself; give "
                "recordings of other texts"
            )
        seeded = hashlib.sha256(f"reference {self._run.seed} {text.text}".encode()).digest()
        return others[int.from_bytes(seeded[:8], "big") % len(others)]

    def _voice(self, text: str, audio: Path | None, tokens: list[int] | None) -> DataVoice:
        family_class(self._run.family).check_transcript(text)
        digest = None
        if audio is not None:
            waveform, rate_hz = read_voice(audio)
            digest = hashlib.sha256(audio.read_bytes()).hexdigest()
            if tokens is None and digest not in self._encoded:
                encoder = self._load_encoder()
                heard = resample(waveform, rate_hz, encoder.sample_rate_hz)
                self._encoded[digest] = encoder.encode([heard])[0]
            tokens = self._encoded[digest] if tokens is None else tokens
        check_codes(text, tokens or [], None)
        longest = self._run.rollout.max_prompt_tokens
        if len(tokens or []) >= longest:
            raise BadInput(
                f"the reference {audio or shorten(text)} has {len(tokens or [])} speech tokens, "
                f"and a prompt at most {longest} tokens (rollout.max_prompt_tokens); raise it, or "
                "give a shorter recording"
            )
        return DataVoice(text, list(tokens or []), str(audio.absolute()) if audio else None, digest)

    def _load_encoder(self) -> Encoder:
        if self._encoder is None:
            try:
                self._encoder = load_encoder(str(local_folder(self._run.codec)))
            except ImportError as error:
                raise BadInput(
                    f"references are recordings, and the codec's encoder is not there: {error}; "
                    "make their tokens with `ttsrl encode` where it is"
                ) from None
        return self._encoder

    def _read(self, source: str) -> list[DataVoice]:
        folder = Path(source)
        if not folder.is_dir():
            raise BadInput(f"data.references.voices: no folder {folder}")
        voices = self._encoded_ones(folder) if parquet_files(folder) else self._recordings(folder)
        if not voices:
            raise BadInput(
                f"data.references.voices: no voice in {folder}; put recordings NAME.wav with "
                "NAME.txt there, or give a folder that `ttsrl encode` wrote"
            )
        return voices

    def _encoded_ones(self, folder: Path) -> list[DataVoice]:
        codec = codec_of(folder)
        if codec is None:
            raise BadInput(f"{folder} was not written by `ttsrl encode`; give such a folder")
        if codec.digest != encoder_digest(local_folder(self._run.codec)):
            raise BadInput(
                f"the voices of {folder} come from the codec {codec.name}, the run's is "
                f"{self._run.codec}, and they differ; encode them with the run's codec"
            )
        voices: list[DataVoice] = []
        for place, row in (row for file in parquet_files(folder) for row in read_parquet(file)):
            if not row["text"]:
                raise BadInput(f"{place}: a voice without its transcript; add it, or leave it out")
            check_codes(row["text"], row["speech_tokens"], codec.codebook_size)
            audio = Path(row["audio"]) if Path(row["audio"]).is_file() else None
            voices.append(self._voice(row["text"], audio, row["speech_tokens"]))
        return voices

    def _recordings(self, folder: Path) -> list[DataVoice]:
        voices: list[DataVoice] = []
        for file in sorted(folder.iterdir()):
            if file.suffix.lower() not in SUFFIXES or file.name.startswith("."):
                continue
            transcript = file.with_suffix(".txt")
            said = " ".join(text_of(transcript).split()) if transcript.is_file() else ""
            if not said:
                raise BadInput(
                    f"the voice {file} has no transcript: write what is said in it into "
                    f"{transcript}"
                )
            voices.append(self._voice(said, file, None))
        return voices


def references_of(run: RunConfig, texts: Sequence[Text]) -> list[DataVoice | None]:
    """The reference of each text, in their order. Raises BadInput."""
    if run.data.prefix is not None and any(text.prompt_text for text in texts):
        raise BadInput(
            "data.prefix is set, and texts name references; leave one of them out: a prompt begins "
            "with the text's own recording or with another one"
        )
    references = References(run)
    return [references.of(text) for text in texts]
