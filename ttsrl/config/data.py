"""What a run speaks: texts, limits, split."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ttsrl.base import Strict
from ttsrl.facts import DataPath


class PrefixConfig(Strict):
    """Real speech with which training prompts begin, so that the policy continues it.

    The published recipe with prefixes is mair-hub's: 1 to 5 s, for every prompt.
    """

    column: str = "speech_tokens"
    """Key or column of the texts in which a recording's speech tokens stand."""
    min_s: float = Field(default=1.0, gt=0)
    max_s: float = Field(default=5.0, gt=0)
    """A prefix has a random length between these, in seconds of speech."""
    max_share: float = Field(default=0.5, gt=0, lt=1)
    """Most of its recording that a prefix may be: the rest is for the policy to say. A text whose
    recording is too short for `min_s` gets no prefix."""
    prompts_share: float = Field(default=1.0, gt=0, le=1)
    """Share of the training prompts that get a prefix."""
    tokens_per_s: float | None = Field(default=None, gt=0)
    """Rate of the speech tokens; null: what `ttsrl encode` has written into the texts' parquet."""

    @model_validator(mode="after")
    def _range_is_one(self) -> Self:
        if self.min_s > self.max_s:
            raise ValueError(f"min_s = {self.min_s:g} is more than max_s = {self.max_s:g}")
        return self


class ReferencesConfig(Strict):
    """Voices in which texts are spoken that name no recording of their own."""

    voices: Annotated[str, DataPath()]
    """A folder that `ttsrl encode` wrote; or one with recordings NAME.wav (flac, ogg, mp3) and what
    is said in each in NAME.txt beside it. Each text gets one of them, drawn by `seed` and the text,
    the same for its whole group; never a recording of the text itself."""


class DataConfig(Strict):
    """What to speak: texts, and how they are split."""

    texts: Annotated[str, DataPath()]
    """JSON lines with `text` and optional `language`, `id`, `style`, `speaker`, `label`, and
    `prompt_text` with `prompt_audio` or `prompt_tokens`; plain text (.txt, one text per line);
    parquet, a file or a folder of files; or a Hugging Face data set folder."""
    language: str = "en"
    """ISO 639-1 code of texts that name none."""
    held_out_fraction: float = Field(default=0.1, gt=0, lt=1)
    """Share of the texts kept for evaluation, chosen by a hash of the normalised text."""
    split_key: Literal["text", "words"] = "text"
    """What must not be shared with training: the text, or its set of words in any order."""
    min_chars: int = Field(default=1, ge=1)
    """Shortest text in characters."""
    max_chars: int = Field(default=400, ge=1)
    """Longest text in characters."""
    min_duration_s: float = Field(default=0.0, ge=0)
    """Shortest recording, of texts that give theirs as `duration_s`."""
    max_duration_s: float | None = Field(default=None, gt=0)
    """Longest recording, of texts that give theirs; null: any."""
    only_languages: list[str] | None = Field(default=None, min_length=1)
    """ISO 639-1 codes of the texts to take; null: all."""
    exclude_regex: str | None = None
    """Regular expression; texts in which it is found are not taken. `[A-Za-z]` leaves Mandarin
    without English words."""
    on_filtered: Literal["exclude", "error"] = "exclude"
    """What happens to a text that these limits do not take: it is counted, or stops everything."""
    duplicates: Literal["text", "words"] = "text"
    """Which texts are the same one: equal ones, or those with equal words, whatever their case and
    punctuation. The first is taken."""
    references: ReferencesConfig | None = None
    """Voices for the texts without `prompt_audio` or `prompt_tokens`; null: these have none."""
    prefix: PrefixConfig | None = None
    """Let training prompts begin with real speech; null: none does. Held-out ones never do."""

    @model_validator(mode="after")
    def _speech_begins_with_one_recording(self) -> Self:
        if self.prefix is not None and self.references is not None:
            raise ValueError(
                "prefix and references are both given: a prompt begins with the text's own "
                "recording or with another one; leave one of them out"
            )
        return self

    @model_validator(mode="after")
    def _limits_can_be_met(self) -> Self:
        if self.min_chars > self.max_chars:
            raise ValueError(f"min_chars = {self.min_chars} is more than {self.max_chars}")
        if self.max_duration_s is not None and self.min_duration_s > self.max_duration_s:
            raise ValueError(
                f"min_duration_s = {self.min_duration_s:g} is more than {self.max_duration_s:g}"
            )
        try:
            re.compile(self.exclude_regex or "")
        except re.error as error:
            raise ValueError(
                f"exclude_regex = {self.exclude_regex!r} is not a regular expression: {error}"
            ) from None
        return self
