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
    listener: str = ""
    """The browser in which the page was open, by a random id."""
    at: str
    """Time in ISO 8601."""

    @property
    def place(self) -> tuple[str, ...]:
        """What an answer that was changed and saved again has in common with the first one."""
        told = (self.listener,) if self.listener else (self.at, self.choice)
        return (self.page, self.pair, *told)


def read_answers(files: Sequence[Path]) -> list[Answer]:
    """Each listener's last answer to each pair, whichever file it is in. Raises BadInput.

    A file that was saved half-way holds the beginning of the last one, and what was answered
    otherwise afterwards.
    """
    answers: dict[tuple[str, ...], Answer] = {}
    for file in files:
        if not file.is_file():
            raise BadInput(f"no such file: {file}; give what the page saved")
        for place, row in json_objects(file, "answer as the page saves it"):
            try:
                answer = Answer.model_validate(row)
            except ValidationError as error:
                problem = error.errors()[0]
                where = ".".join(map(str, problem["loc"]))
                raise BadInput(
                    f"{place}: {where}: {problem['msg']}; give what the page saved, unchanged"
                ) from None
            first = answers.setdefault(answer.place, answer)
            answers[answer.place] = max(first, answer, key=lambda one: one.at)
    if not answers:
        raise BadInput("the files hold no answer; give what listeners saved from the page")
    return list(answers.values())


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
