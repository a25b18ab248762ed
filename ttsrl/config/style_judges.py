"""What hears in an evaluation whether speech is in the style that was asked for."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ttsrl.base import Strict
from ttsrl.facts import InEvaluation, ModelPath


class StyleJudge(Strict):
    """A judge of styles; it may not be what gives the reward."""

    name: str
    """Column name in the report."""
    used_in_reward: bool = False
    """Say on purpose that the reward used this model or measure: its number shows over-fitting."""


class ClassifierStyleJudge(StyleJudge):
    """An audio classifier: speech has the style of its likeliest label."""

    type: Literal["classifier"]
    model: Annotated[str, ModelPath("judge")]
    """Folder of a Hugging Face audio classifier, or its id. A text's label, or its style where it
    has none, must be among its labels."""


class ClapStyleJudge(StyleJudge):
    """CLAP: speech has the style, of all of the suite's, whose description is nearest to it."""

    type: Literal["clap"]
    model: Annotated[str, ModelPath("judge")]
    """Folder of a Hugging Face CLAP, or its id."""


class ValueRange(Strict):
    """Values from `low` up to `high`, `high` not included."""

    low: float | None = None
    """Null: no limit."""
    high: float | None = None
    """Null: no limit."""

    def holds(self, value: float) -> bool:
        return (self.low is None or value >= self.low) and (self.high is None or value < self.high)

    @model_validator(mode="after")
    def _holds_something(self) -> Self:
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError(f"low = {self.low:g} is not below high = {self.high:g}")
        return self


class MeasuredStyleJudge(StyleJudge):
    """A measurement: speech has the style in whose range its value is."""

    type: Literal["measure"]
    measure: Annotated[
        Literal["pitch", "pitch_spread", "energy_spread", "voiced_share", "pauses", "rate"],
        InEvaluation(),
    ]
    """pitch: median of the fundamental frequency in Hz. The others are components of the reward,
    in their units (docs/rewards.md)."""
    styles: Annotated[dict[str, ValueRange], InEvaluation()] = Field(min_length=1)
    """Style -> its values. Ranges may not overlap; a value in none is of no style."""

    @model_validator(mode="after")
    def _ranges_part(self) -> Self:
        inf = float("inf")
        ranges = sorted(
            (-inf if r.low is None else r.low, inf if r.high is None else r.high, style)
            for style, r in self.styles.items()
        )
        for (_, high, one), (low, _, other) in pairwise(ranges):
            if low < high:
                raise ValueError(
                    f"the ranges of {one!r} and {other!r} overlap: a value could be of both; let "
                    "one end where the other begins"
                )
        return self


StyleJudgeConfig = Annotated[
    ClassifierStyleJudge | ClapStyleJudge | MeasuredStyleJudge, Field(discriminator="type")
]
