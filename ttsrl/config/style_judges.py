"""What hears in an evaluation whether speech is in the style that was asked for."""

from __future__ import annotations

import math
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


Limits = tuple[float | None, float | None]
"""From the first up to the second, which is not included; null: any value."""


def _bounds(limits: Limits) -> tuple[float, float]:
    low, high = limits
    return -math.inf if low is None else low, math.inf if high is None else high


class MeasuredStyleJudge(StyleJudge):
    """A measurement: speech has the style in whose range its value is."""

    type: Literal["measure"]
    measure: Annotated[
        Literal["pitch", "pitch_spread", "energy_spread", "voiced_share", "pauses", "rate"],
        InEvaluation(),
    ]
    """pitch: median of the fundamental frequency in Hz. The others are components of the reward,
    in their units (docs/rewards.md)."""
    styles: Annotated[dict[str, Limits], InEvaluation()] = Field(min_length=1)
    """Style -> limits of its values, as [low, high]: from low on, below high; null is any value.
    Ranges may not overlap; a value in none is of no style."""

    def style_of(self, value: float) -> str | None:
        """The style in whose range a value is."""
        for style, limits in self.styles.items():
            low, high = _bounds(limits)
            if low <= value < high:
                return style
        return None

    @model_validator(mode="after")
    def _ranges_part(self) -> Self:
        ranges = sorted((*_bounds(limits), style) for style, limits in self.styles.items())
        for low, high, style in ranges:
            if low >= high:
                raise ValueError(
                    f"the range of {style!r} holds nothing: {low:g} is not below {high:g}"
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
