"""Configuration of an audio-LLM that is asked for an opinion about speech."""

from __future__ import annotations

from string import Formatter
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from ttsrl.facts import InReward
from ttsrl.reward.remote import RemoteProgram

PLACEHOLDERS = ("text", "style", "language", "low", "high")
PROMPT = (
    "Listen to the recording. It should say: {text}\n"
    "How natural does the speech sound, from {low} (not at all like a person) to {high} (like a "
    "person)? Answer with the number alone."
)


class AudioLlmProgram(RemoteProgram):
    """A model behind OpenAI's chat completions that takes audio: OpenAI's own, vLLM's, others'."""

    url: Annotated[str, InReward("not")]
    """Base address, such as http://audio-llm:8000/v1."""
    served_model: str = Field(min_length=1)
    """As the server calls it."""
    deadline_s: Annotated[float, InReward("not")] = Field(default=20.0, gt=0)
    """Longest wait for one answer."""
    input_price: Annotated[float, InReward("not")] = Field(default=0.0, ge=0)
    """Of a million tokens that are sent, audio included, in whatever currency: what was spent is
    counted."""
    output_price: Annotated[float, InReward("not")] = Field(default=0.0, ge=0)
    """Of a million tokens that are answered."""


class AudioLlm(AudioLlmProgram):
    """An audio-LLM that gives its opinion as a number.

    Each utterance is one request, a WAV beside the prompt, at temperature 0.
    """

    prompt: str = PROMPT
    """What is asked. `{text}`, `{style}` and `{language}` are those of the utterance, `{low}` and
    `{high}` the ends of the scale. It has to ask for one number and nothing else."""
    low: float = 1.0
    """Worst opinion ..."""
    high: float = 5.0
    """... and best. An answer beyond them is a failed measurement, and so is one that is not a
    number."""

    @field_validator("prompt")
    @classmethod
    def _has_known_places(cls, prompt: str) -> str:
        try:
            names = {name for _, name, _, _ in Formatter().parse(prompt) if name is not None}
        except ValueError as error:
            raise ValueError(f"{error}; write {{{{ for a brace that is meant") from None
        if unknown := sorted(names - {*PLACEHOLDERS}):
            raise ValueError(
                f"{{{unknown[0]}}} is not known; the prompt may have "
                + ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
            )
        return prompt

    @model_validator(mode="after")
    def _scale_is_one(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low = {self.low:g} is not below high = {self.high:g}")
        return self

    @property
    def asks_for_style(self) -> bool:
        """Whether the prompt needs the utterance's own style."""
        return "{style}" in self.prompt
