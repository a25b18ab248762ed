"""`llm`: what an audio-LLM answers when it is asked for an opinion, on the scale of its prompt.

By OpenAI's client (Apache-2.0): its connection pool, time-outs, retries with growing pauses.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping
from typing import Any

import soundfile

from ttsrl.audio.waveform import Waveform
from ttsrl.errors import BadInput, reason_of, shorten
from ttsrl.reward.audio_llm import AudioLlm
from ttsrl.scorers.base import SpeechSample
from ttsrl.scorers.remote import NotAnswered, RemoteScorer, Usage, key_of, key_refused

NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?\.?", re.ASCII)
LONGEST_ANSWER = 16
"""Tokens: a number. What is longer was not asked for."""


class AudioLlmScorer(RemoteScorer):
    """One request per utterance; the same question for the same utterance."""

    def __init__(self, config: AudioLlm) -> None:
        """Raises BadInput where the client or the key is missing; connects to nothing yet."""
        super().__init__("llm", config.concurrency)
        try:
            import openai
        except ModuleNotFoundError:
            raise BadInput(
                "an audio-LLM is asked by the package openai, which is not installed; install the "
                "extra 'llm'"
            ) from None
        self._errors: Any = openai
        self._config = config
        self._client: Any = openai.OpenAI(
            base_url=config.url,
            # the client wants one; a server that asks for none does not look at it
            api_key=key_of(config) or "none",
            timeout=config.deadline_s,
            max_retries=config.retries,
        )
        self.spec: Mapping[str, Any] = {"version": 1}
        self.example: Mapping[str, Any] = {"style": "calm"} if config.asks_for_style else {}

    def ask(self, speech: SpeechSample) -> float:
        """Its opinion, within the scale."""
        question = self._question(speech)
        errors = self._errors
        try:
            answer: Any = self._client.chat.completions.create(
                model=self._config.served_model,
                messages=[{"role": "user", "content": question}],
                temperature=0,
                max_tokens=LONGEST_ANSWER,
            )
        except errors.APITimeoutError:
            raise NotAnswered(
                "unreachable", f"no answer from {self._config.url} in {self._config.deadline_s:g} s"
            ) from None
        except errors.APIConnectionError as error:
            raise NotAnswered(
                "unreachable", f"{self._config.url}: {reason_of(error.__cause__ or error)}"
            ) from None
        except errors.APIStatusError as error:
            raise self._refusal(error.status_code, reason_of(error)) from None
        except errors.OpenAIError as error:
            raise NotAnswered("scorer", f"not an answer: {reason_of(error)}") from None
        if answer.usage is not None:
            self._count(answer.usage.prompt_tokens, answer.usage.completion_tokens)
        return self._opinion(answer)

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
        wav = wav_base64(speech.waveform, speech.sample_rate_hz)
        return [
            {"type": "text", "text": words},
            {"type": "input_audio", "input_audio": {"data": wav, "format": "wav"}},
        ]

    def _opinion(self, answer: Any) -> float:
        choices = getattr(answer, "choices", None)
        said = choices[0].message.content if choices else None
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

    def _refusal(self, status: int, reason: str) -> NotAnswered:
        """What an HTTP status means: only some may pass by themselves."""
        where = f"{self._config.url} answers {status}: {reason}"
        if status in (401, 403):
            return key_refused(self._config, where)
        if status in (408, 409, 429) or status >= 500:
            return NotAnswered("unreachable", where)
        return NotAnswered("scorer", where)

    def _count(self, sent: int, answered: int) -> None:
        c = self._config
        cost = (sent * c.input_price + answered * c.output_price) / 1e6
        self.spend(Usage(1, sent, answered, cost))


def wav_base64(waveform: Waveform, sample_rate_hz: int) -> str:
    """A waveform [T] in [-1, 1] as a 16-bit WAV file in base64."""
    wav = io.BytesIO()
    soundfile.write(wav, waveform, sample_rate_hz, subtype="PCM_16", format="WAV")
    return base64.b64encode(wav.getbuffer()).decode()
