"""What listeners compared after training, and what they chose."""

from __future__ import annotations

from ttsrl.records.record import Record

KEY = "key.json"
"""Beside the page: which clip is of which model."""
CHOICE = "choice.json"
"""Beside the page, once answers are counted."""
FOLDER = "listening"
"""Of a run's folder: where both lie."""


class ListeningKey(Record):
    """Which clips of a page are of which model; the page itself does not tell."""

    page: str
    """The page's name, which every answer carries."""
    before: list[str]
    """Clips of the policy before training, by their ids."""
    after: list[str]
    models: list[str]
    """Digests of the models before and after."""


class ListenersChoice(Record):
    """How often listeners chose the speech after training."""

    share: float
    """Of the model after training: a text's mean over its answers, then the mean over texts. An
    answer "the same" counts one half."""
    low: float
    """95 % interval of `share`."""
    high: float
    texts: int
    answers: int
    same: int
    """Answers that heard no difference."""
    listeners: int
    """Files of answers, one a listener."""
    models: list[str]
    """As in the key."""

    @property
    def verdict(self) -> str:
        """What the interval says, in words."""
        if self.low > 0.5:
            return "listeners prefer the speech after training"
        if self.high < 0.5:
            return "listeners prefer the speech before training"
        return "the choices do not tell which is better"
