"""`llm`: what an audio-LLM answers when it is asked for an opinion, on the scale of its prompt."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ttsrl.errors import BadInput, shorten
from ttsrl.reward.audio_llm import AudioLlm
from ttsrl.scorers.audio_llm_client import AudioLlmClient, audio_part
from ttsrl.scorers.base import SpeechSample
from ttsrl.scorers.remote import NotAnswered, RemoteScorer

NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?\.?", re.ASCII)
LONGEST_ANSWER = 16
"""Tokens: a number. What is longer was not asked for."""


class AudioLlmScorer(RemoteScorer):
    """One request per utterance; the same question for the same utterance."""

    def __init__(self, config: AudioLlm) -> None:
        """Raises BadInput where the client or the key is missing; connects to nothing yet."""
        super().__init__("llm", config.concurrency)
        self._config = config
        self._client = AudioLlmClient(config, self.spend)
        self.spec: Mapping[str, Any] = {"version": 1}
        self.example: Mapping[str, Any] = {"style": "calm"} if config.asks_for_style else {}

    def ask(self, speech: SpeechSample) -> float:
        """Its opinion, within the scale."""
        return self._opinion(self._client.answer(self._question(speech), LONGEST_ANSWER))

    def _question(self, speech: SpeechSample) -> list[dict[str, Any]]:
        c = self._config
        if c.asks_for_style and speech.style is None:
            raise BadInput(
                "the prompt asks about {style}, and the utterance has none; give the "
                "texts their style, or another prompt"
            )
        words = c.prompt.format(
            text=speech.text,
            style=speech.style,
            language=speech.language,
            low=f"{c.low:g}",
            high=f"{c.high:g}",
        )
        return [
            {"type": "text", "text": words},
            audio_part(speech.waveform, speech.sample_rate_hz),
        ]

    def _opinion(self, said: object) -> float:
        if not isinstance(said, str) or not NUMBER.fullmatch(said.strip()):
            raise NotAnswered(
                "scorer", f"answered {shorten(said)}, which is not a number; ask for one alone"
            )
        opinion = float(said.strip().rstrip("."))
        if not self._config.low <= opinion <= self._config.high:
            raise NotAnswered(
                "scorer",
                f"answered {opinion:g}, beyond {self._config.low:g} to {self._config.high:g}",
            )
        return opinion
