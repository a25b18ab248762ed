"""Decoding in the voice of a reference: by a codec that takes a voice, else after its tokens."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ttsrl.audio.io import read_recording
from ttsrl.audio.waveform import Waveform
from ttsrl.codecs.base import Codec, VoicedCodec

KEPT_VOICES = 256
"""Voices whose features are kept; CosyVoice2's of 10 s take 0.4 MB."""


@dataclass(frozen=True)
class DecodedAfter:
    """What an utterance is spoken after."""

    tokens: Sequence[int] = ()
    """Speech tokens of the reference, for a codec that takes no voice."""
    audio: bytes | None = None
    """An audio file's contents, for a codec that takes one."""


ALONE = DecodedAfter()


class VoiceDecoder:
    """A codec and the voices that it has been given, the last `KEPT_VOICES` of them."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._in_voice = lru_cache(maxsize=KEPT_VOICES)(self._load)

    def decode(
        self, tokens_B: Sequence[Sequence[int]], after_B: Sequence[DecodedAfter]
    ) -> list[Waveform]:
        """Waveform of each utterance, without what it is spoken after. Raises as `decode` does, and
        BadInput for a recording that cannot be read."""
        if not isinstance(self._codec, VoicedCodec):
            return decode_after(self._codec, [after.tokens for after in after_B], tokens_B)
        found: dict[int, Waveform] = {}
        voices = dict.fromkeys(after.audio for after in after_B)
        for audio in voices:
            rows = [n for n, after in enumerate(after_B) if after.audio == audio]
            codec = self._codec if audio is None else self._in_voice(audio)
            found |= zip(rows, codec.decode([tokens_B[n] for n in rows]), strict=True)
        return [found[n] for n in range(len(tokens_B))]

    def _load(self, audio: bytes) -> Codec:
        assert isinstance(self._codec, VoicedCodec)
        return self._codec.in_voice(*read_recording(audio))


def decode_after(
    codec: Codec, prefixes_B: Sequence[Sequence[int]], tokens_B: Sequence[Sequence[int]]
) -> list[Waveform]:
    """Waveform of each utterance, decoded after its prefix, so that it continues in that voice, and
    returned without it; empty without speech tokens."""
    both = list(zip(prefixes_B, tokens_B, strict=True))
    spoken = [[*prefix, *tokens] for prefix, tokens in both if tokens]
    waveforms = iter(codec.decode(spoken) if spoken else [])
    per_token = codec.sample_rate_hz / codec.tokens_per_s
    silence = np.zeros(0, np.float32)
    return [
        next(waveforms)[round(len(prefix) * per_token) :] if tokens else silence
        for prefix, tokens in both
    ]


def digest_of(audio: bytes | None) -> str | None:
    """SHA-256 of a recording, by which it is told from others."""
    return None if audio is None else hashlib.sha256(audio).hexdigest()
