"""What a text may carry beside its words, and the form in which the policy is told it.

One notion for training, evaluation and `ttsrl say`: each makes `Conditions` of what it has, and the
family makes the prompt of them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ttsrl.base import Strict
from ttsrl.errors import BadInput, shorten

PLACE = re.compile(r"\{(\w+)\}")
"""Where a form names what stands there."""
Form = Annotated[str, Field(min_length=1)]


@dataclass(frozen=True)
class VoiceReference:
    """A recording that the policy continues: zero-shot synthesis."""

    text: str
    """What is said in it; the prompt has it before the text."""
    tokens: Sequence[int]
    """Its speech tokens, with which the answer begins."""


@dataclass(frozen=True)
class Conditions:
    """What the policy is told beside the words."""

    style: str | None = None
    language: str | None = None
    """ISO 639-1 code; told where the form of the prompt has a place for it."""
    reference: VoiceReference | None = None


UNCONDITIONED = Conditions()


class PromptConfig(Strict):
    """How the policy is told what a text carries, where it differs from its family's way."""

    style_from: Literal["style", "label"] | None = "style"
    """Which field of a text the policy is told as its style; null: none, the reward alone has it.
    """
    request: Form | None = None
    """What stands in the prompt for a text without a style: `{text}` and, where the policy was
    taught it, `{language}`. Null: the family's."""
    styled_request: Form | None = None
    """The same for a text with a style: `{style}`, `{text}`, `{language}`. Null: the family's."""
    styles: dict[str, Form] = {}
    """Style -> how it is written in the prompt, as a fine-tune was taught it, such as
    {"happy": "<|happy|>"}; then no other style may occur. {}: styles are written as they are."""

    def conditions(
        self,
        *,
        style: str | None = None,
        label: str | None = None,
        language: str | None = None,
        reference: VoiceReference | None = None,
    ) -> Conditions:
        """What the policy is told of a text that has these."""
        told = {"style": style, "label": label}[self.style_from] if self.style_from else None
        return Conditions(told, language, reference)

    def written(self, style: str) -> str:
        """A style as it stands in the prompt. Raises BadInput for one that is not known."""
        if any(unicodedata.category(c) == "Cc" for c in style):
            raise BadInput(f"the style {shorten(style)} contains control characters; remove them")
        if not self.styles:
            return style
        if style not in self.styles:
            raise BadInput(
                f"the style {shorten(style)} is not in prompt.styles, which has "
                f"{', '.join(sorted(self.styles))}; add it there, or change the text's style"
            )
        return self.styles[style]

    @property
    def forms(self) -> list[str]:
        """Everything of the run that may stand in a prompt."""
        return [f for f in (self.request, self.styled_request, *self.styles.values()) if f]

    @property
    def has_language(self) -> bool:
        """Whether a form of the run has a place for the language."""
        places = [PLACE.findall(form) for form in (self.request, self.styled_request) if form]
        return any("language" in of_form for of_form in places)

    @model_validator(mode="after")
    def _forms_have_their_places(self) -> Self:
        for name, form, needed in (
            ("request", self.request, {"text"}),
            ("styled_request", self.styled_request, {"style", "text"}),
        ):
            places = set(PLACE.findall(form or ""))
            if form is not None and (missing := sorted(needed - places)):
                raise ValueError(f"{name} = {form!r} has no place for {{{missing[0]}}}; add it")
            if unknown := sorted(places - needed - {"language"}):
                raise ValueError(
                    f"{name} = {form!r} has a place {{{unknown[0]}}}, and what may stand in it is "
                    f"{', '.join(f'{{{place}}}' for place in sorted(needed | {'language'}))}"
                )
        return self


def fill(form: str, **values: str | None) -> str:
    """A form with its places filled. Raises BadInput for a place whose value is not given."""

    def value(place: re.Match[str]) -> str:
        if (found := values.get(place[1])) is None:
            raise BadInput(
                f"the prompt's form {form!r} has a place for the {place[1]}, and none is given"
            )
        return found

    return PLACE.sub(value, form)
