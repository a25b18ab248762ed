"""Listeners' answers, as the page saves them: one line a pair."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from ttsrl.base import Strict
from ttsrl.errors import BadInput
from ttsrl.lines.json_lines import json_objects

FEWEST_PAIRS = 40
"""Decided ones: with fewer an accuracy of 65 % is not told from chance."""
FEWEST_TEXTS = 10
LEAST_SHARE = 0.2
"""Of the rarer side: sides are drawn, so that who listens chooses both."""


class Answer(Strict):
    """One pair, decided."""

    page: str
    pair: str
    a: str = Field(pattern=r"^[0-9a-f]{16}$")
    """Clip on side A, by its id."""
    b: str = Field(pattern=r"^[0-9a-f]{16}$")
    text: str = Field(min_length=1)
    choice: Literal["a", "b", "same"]
    at: str


def read_answers(files: Sequence[Path]) -> list[Answer]:
    """Every line of the files. Raises BadInput."""
    answers: list[Answer] = []
    for file in files:
        if not file.is_file():
            raise BadInput(f"no such file: {file}; give what the page saved")
        for place, row in json_objects(file, "answer as the page saves it"):
            try:
                answers.append(Answer.model_validate(row))
            except ValidationError as error:
                problem = error.errors()[0]
                where = ".".join(map(str, problem["loc"]))
                raise BadInput(
                    f"{place}: {where}: {problem['msg']}; give what the page saved, unchanged"
                ) from None
    return answers


def check_answers(answers: Sequence[Answer]) -> None:
    """Raise BadInput for answers that no head can be learned from."""
    choices = Counter(answer.choice for answer in answers)
    decided = choices["a"] + choices["b"]
    if decided < FEWEST_PAIRS:
        raise BadInput(
            f"{decided} decided pairs ({choices['same']} are the same to listeners) are too few: "
            f"at least {FEWEST_PAIRS} are needed; collect more"
        )
    if (texts := len({a.text for a in answers if a.choice != "same"})) < FEWEST_TEXTS:
        raise BadInput(
            f"the pairs are of {texts} texts, and at least {FEWEST_TEXTS} are needed: a head is "
            "tested on texts that it has not heard; collect pairs of more texts"
        )
    check_sides(answers)


def check_sides(answers: Sequence[Answer]) -> None:
    """Raise BadInput where one side was chosen whatever was on it; too few answers do not tell."""
    choices = Counter(answer.choice for answer in answers)
    decided = choices["a"] + choices["b"]
    if decided < FEWEST_PAIRS:
        return
    share, rarer = min((choices[side] / decided, side) for side in ("a", "b"))
    if share < LEAST_SHARE:
        raise BadInput(
            f"side {rarer.upper()} was chosen in {share:.0%} of {decided} decided pairs, though "
            "which clip is on which side was drawn: the side was chosen, not the speech; leave "
            "out the listener who did so"
        )
