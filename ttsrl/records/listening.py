"""What listeners compared after training, and what they chose."""

from __future__ import annotations

from ttsrl.records.record import Record

KEY = "key.json"
"""Beside the page: which clip is of which model."""
CHOICE = "choice.json"
"""Beside the page, once answers are counted."""
ASKED = "pairs.json"
"""Beside the page: its pairs."""
SPOKEN = "spoken.json"
"""Beside the page, where the token ids of its clips are known."""
LLM_CHOICE, LLM_ANSWERS = "llm_choice.json", "llm_answers.jsonl"
"""Beside the page: what an audio-LLM chose."""
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


class ListeningPair(Record):
    """Two clips of one text, by their ids."""

    id: str
    a: str
    b: str
    text: str


class ComparedPairs(Record):
    """The pairs of a page; where the clips come from is not in it."""

    page: str
    """The page's name, which every answer carries."""
    pairs: list[ListeningPair]


class ClipIds(Record):
    """A clip as a policy said it, in its token ids."""

    id: str
    prompt_ids: list[int]
    response_ids: list[int]


class PageIds(Record):
    """The clips of a page that preferences can be learned of by DPO."""

    codec: str
    """Digest of the codec that they are heard by."""
    clips: list[ClipIds]


class LlmChoice(Record):
    """What an audio-LLM chose, each pair asked in both orders."""

    served_model: str
    prompt: str
    share: float | None
    """As `ListenersChoice.share`; None for a page that does not compare before with after."""
    low: float | None
    """95 % interval of `share`."""
    high: float | None
    texts: int
    pairs: int
    """Answered in both orders."""
    same: int
    """Pairs of which both answers did not choose one clip: they count one half."""
    first: int
    """Answers that chose the clip that was played first, of `decided`."""
    decided: int
    failed: dict[str, int]
    """Kind of failure -> pairs that have no answer."""
    requests: int
    input_tokens: int
    output_tokens: int
    cost: float
    """In the currency of the prices that were given."""
    models: list[str]
    """As in the key."""

    @property
    def words(self) -> list[str]:
        """What it chose, how far it can be trusted, and what it cost."""
        told: list[str] = []
        if self.share is not None and self.low is not None and self.high is not None:
            told.append(
                f"{self.served_model} prefers the speech after training in {self.share:.1%} (95 % "
                f"interval {self.low:.1%} to {self.high:.1%}) of {self.texts} texts"
            )
        told.append(
            f"of {self.pairs} pairs {self.same} are the same to it, or were answered otherwise "
            "when the order was changed; they count one half"
        )
        if self.decided:
            told.append(
                f"the recording that was played first was chosen in {self.first / self.decided:.1%}"
                f" of {self.decided} answers"
            )
        if self.failed:
            kinds = ", ".join(f"{kind} {count}" for kind, count in self.failed.items())
            told.append(f"not answered: {sum(self.failed.values())} pairs ({kinds})")
        told.append(
            f"{self.requests} answers for {self.input_tokens} + {self.output_tokens} tokens, cost "
            f"{self.cost:.4f}"
        )
        return told


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
    """Browsers that answered; files of answers, where pages were made before they told."""
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
