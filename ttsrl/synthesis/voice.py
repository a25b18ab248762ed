"""A recording as a model is prompted with it."""

from __future__ import annotations

from dataclasses import dataclass

from ttsrl.codecs.base import Codec
from ttsrl.families.conditions import VoiceReference


@dataclass(frozen=True)
class VoicePrompt:
    """A recording as a model is prompted with it."""

    reference: VoiceReference
    codec: Codec | None = None
    """The codec as it speaks in this voice, where it is one that takes a voice."""
