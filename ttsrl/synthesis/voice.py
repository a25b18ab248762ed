"""A recording as a model is prompted with it."""

from __future__ import annotations

from dataclasses import dataclass

from ttsrl.codecs.base import Codec


@dataclass(frozen=True)
class VoicePrompt:
    """A recording as a model is prompted with it."""

    text: str
    """What is said in it."""
    tokens: list[int]
    """Its speech tokens."""
    codec: Codec | None = None
    """The codec as it speaks in this voice, where it is one that takes a voice."""
