"""What a codec can do: speech tokens of one codebook <-> mono waveform."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, runtime_checkable

from ttsrl.audio.waveform import Waveform
from ttsrl.families.frames import misplaced


class Codec(Protocol):
    """Speech tokens of one codebook <-> waveform; decoding depends on the tokens alone."""

    codebook_size: int
    sample_rate_hz: int
    tokens_per_s: float

    def decode(self, tokens_B: Sequence[Sequence[int]]) -> list[Waveform]:
        """Decode a batch of utterances of any lengths >= 1; tokens must lie in the codebook.

        The same tokens give the same waveform (to 1e-5) alone and in any batch.
        """
        ...


@runtime_checkable
class VoicedCodec(Codec, Protocol):
    """A codec that speaks in a given voice."""

    def in_voice(self, waveform: Waveform, sample_rate_hz: int) -> Codec:
        """The same codec in the voice of a recording [T]."""
        ...


@runtime_checkable
class FramedCodec(Codec, Protocol):
    """A codec whose tokens come in frames, each token out of its place's part of the codebook.

    What a last frame lacks is not made up: `decode` leaves that frame out.
    """

    frame_tokens: int


class Encoder(Protocol):
    """Waveform -> speech tokens of one codebook."""

    codebook_size: int
    sample_rate_hz: int
    tokens_per_s: float

    def encode(self, waveforms_B: Sequence[Waveform]) -> list[list[int]]:
        """Encode recordings of any lengths >= 1, at `sample_rate_hz`.

        A recording's tokens are the same alone and in any batch.
        """
        ...


Precision = Literal["float32", "tfloat32", "bfloat16"]
"""What a GPU multiplies in; weights and sums stay in float32."""


def frame_tokens_of(codec: Codec) -> int:
    """Tokens of a frame; see ttsrl.families.frames."""
    return codec.frame_tokens if isinstance(codec, FramedCodec) else 1


def can_decode(codec: Codec, tokens: Sequence[int]) -> bool:
    """Whether there is an utterance, of the codebook and in its places."""
    size = codec.codebook_size
    inside = bool(tokens) and all(0 <= token < size for token in tokens)
    return inside and misplaced(tokens, size, frame_tokens_of(codec)) is None


def check_tokens(tokens: Sequence[int], codebook_size: int) -> None:
    """Raise ValueError for an empty utterance and for tokens outside the codebook."""
    if not tokens:
        raise ValueError("cannot decode an utterance of no speech tokens")
    if min(tokens) < 0 or max(tokens) >= codebook_size:
        out_of_range = [t for t in tokens if not 0 <= t < codebook_size]
        raise ValueError(
            f"speech tokens must lie in [0, {codebook_size}): got {out_of_range[:3]}; "
            "check the token offset of the family"
        )
