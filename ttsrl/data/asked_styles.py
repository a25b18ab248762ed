"""The styles that texts ask for, and whether an evaluation's judges can hear them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from ttsrl.config.schema import RunConfig
from ttsrl.config.style_judges import (
    ClapStyleJudge,
    ClassifierStyleJudge,
    MeasuredStyleJudge,
    StyleJudgeConfig,
)
from ttsrl.errors import BadInput, shorten
from ttsrl.models.labels import labels_of


class MayAskForStyle(Protocol):
    """A text, of the data or of a suite."""

    @property
    def style(self) -> str | None: ...

    @property
    def label(self) -> str | None: ...


@dataclass(frozen=True)
class AskedStyles:
    """The styles of some texts."""

    styles: list[str]
    labels: list[str]
    """What a classifier is to hear: the label of each text, its style where it has none."""


def asked_style(run: RunConfig, text: MayAskForStyle) -> str | None:
    """The style that a text is to be in, whether the policy is told it or not."""
    if run.prompt.style_from == "label":
        return text.label
    return text.style or text.label


def asked_styles(run: RunConfig, texts: Iterable[MayAskForStyle]) -> AskedStyles | None:
    """Of all the texts; None where none asks for a style."""
    each = {(style, text.label or style) for text in texts if (style := asked_style(run, text))}
    if not each:
        return None
    return AskedStyles(sorted({s for s, _ in each}), sorted({label for _, label in each}))


def check_style_judges(judges: Sequence[StyleJudgeConfig], asked: AskedStyles) -> None:
    """Raise BadInput for a style that one of the judges cannot hear."""
    for judge in judges:
        match judge:
            case ClassifierStyleJudge():
                _check_labels(judge, asked)
            case ClapStyleJudge() if len(asked.styles) == 1:
                raise BadInput(
                    f"judge of styles {judge.name!r} tells which of the styles is nearest, and the "
                    f"texts have one alone, {shorten(asked.styles[0])}; give texts of several "
                    "styles, or leave the judge out of eval.styles"
                )
            case MeasuredStyleJudge():
                if unknown := [style for style in asked.styles if style not in judge.styles]:
                    raise BadInput(
                        f"judge of styles {judge.name!r} has ranges for "
                        f"{', '.join(map(repr, judge.styles))}, and none for {unknown[0]!r}; add it"
                    )
            case _:
                pass


def check_texts_have_styles(run: RunConfig, texts: Iterable[MayAskForStyle]) -> None:
    """Raise BadInput where the evaluation is to tell styles, and the texts have none that its
    judges hear."""
    if not run.eval.styles:
        return
    asked = asked_styles(run, texts)
    if asked is None:
        field = run.prompt.style_from or "style"
        raise BadInput(
            f"eval.styles names judges of styles, and no text has a {field!r}; give the texts one, "
            "or leave eval.styles out"
        )
    check_style_judges(run.eval.styles, asked)


def _check_labels(judge: ClassifierStyleJudge, asked: AskedStyles) -> None:
    known = labels_of(judge.model)
    for label in asked.labels:
        try:
            known.index(label)
        except BadInput as error:
            raise BadInput(f"judge of styles {judge.name!r}: {error}") from None
