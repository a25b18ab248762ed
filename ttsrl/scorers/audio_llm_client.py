"""Questions with audio to a model behind OpenAI's chat completions; what they cost is counted.

By OpenAI's client (Apache-2.0): its connection pool, time-outs, retries with growing pauses.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from typing import Any

import soundfile

from ttsrl.audio.waveform import Waveform
from ttsrl.errors import BadInput, reason_of, shorten
from ttsrl.reward.audio_llm import AudioLlmProgram
from ttsrl.scorers.remote import NotAnswered, Usage, key_of, key_refused


class AudioLlmClient:
    """Asks one question at a time; may be used by several threads."""

    def __init__(self, program: AudioLlmProgram, spend: Callable[[Usage], None]) -> None:
        """`spend` gets what each answer has used. Raises BadInput where the client or the key is
        missing; connects to nothing yet."""
        try:
            import openai
        except ModuleNotFoundError:
            raise BadInput(
                "an audio-LLM is asked by the package openai, which is not installed; install the "
                "extra 'llm'"
            ) from None
        self._errors: Any = openai
        self._program = program
        self._spend = spend
        self._client: Any = openai.OpenAI(
            base_url=program.url,
            # the client wants one; a server that asks for none does not look at it
            api_key=key_of(program) or "none",
            timeout=program.deadline_s,
            max_retries=program.retries,
        )

    def answer(self, question: list[dict[str, Any]], longest: int) -> object:
        """What it says, in at most `longest` tokens; None for an answer without words.

        Raises NotAnswered.
        """
        program, errors = self._program, self._errors
        try:
            answer: Any = self._client.chat.completions.create(
                model=program.served_model,
                messages=[{"role": "user", "content": question}],
                temperature=0,
                max_tokens=longest,
            )
        except errors.APITimeoutError:
            raise NotAnswered(
                "unreachable", f"no answer from {program.url} in {program.deadline_s:g} s"
            ) from None
        except errors.APIConnectionError as error:
            raise NotAnswered(
                "unreachable", f"{program.url}: {reason_of(error.__cause__ or error)}"
            ) from None
        except errors.APIStatusError as error:
            raise self._refusal(error.status_code, reason_of(error)) from None
        except errors.OpenAIError as error:
            raise NotAnswered("scorer", f"not an answer: {reason_of(error)}") from None
        except json.JSONDecodeError as error:  # the client lets it through, as of a proxy's page
            answer = error.doc
        if isinstance(answer, str):  # and what is not even called JSON it gives as it is
            raise NotAnswered("scorer", f"{program.url} answers no JSON: {shorten(answer)}")
        if answer.usage is not None:
            self._count(answer.usage.prompt_tokens, answer.usage.completion_tokens)
        choices = getattr(answer, "choices", None)
        return choices[0].message.content if choices else None

    def _refusal(self, status: int, reason: str) -> NotAnswered:
        """What an HTTP status means: only some may pass by themselves."""
        where = f"{self._program.url} answers {status}: {reason}"
        if status in (401, 403):
            return key_refused(self._program, where)
        if status in (408, 409, 429) or status >= 500:
            return NotAnswered("unreachable", where)
        return NotAnswered("scorer", where)

    def _count(self, sent: int, answered: int) -> None:
        program = self._program
        cost = (sent * program.input_price + answered * program.output_price) / 1e6
        self._spend(Usage(1, sent, answered, cost))


def audio_part(waveform: Waveform, sample_rate_hz: int) -> dict[str, Any]:
    """A waveform [T] in [-1, 1] as a part of a question."""
    wav = wav_base64(waveform, sample_rate_hz)
    return {"type": "input_audio", "input_audio": {"data": wav, "format": "wav"}}


def wav_base64(waveform: Waveform, sample_rate_hz: int) -> str:
    """A waveform [T] in [-1, 1] as a 16-bit WAV file in base64."""
    wav = io.BytesIO()
    soundfile.write(wav, waveform, sample_rate_hz, subtype="PCM_16", format="WAV")
    return base64.b64encode(wav.getbuffer()).decode()
