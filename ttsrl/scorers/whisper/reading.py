"""What a Whisper engine is asked about one utterance, what it answers, and a transcript on its way.

Both engines read alike: the text is teacher-forced once, which gives its likelihood and, as far as
every token of it wins, the transcript; only what follows the first disagreement is decoded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ttsrl.audio.waveform import Waveform
from ttsrl.scorers.whisper.draft import Draft


@dataclass(frozen=True)
class ReadingJob:
    """One utterance to read."""

    waveform: Waveform
    """At Whisper's own rate, no longer than its window."""
    prompt: list[int] | None
    """What the transcript follows; None: the prompt of the language that Whisper detects."""
    target: list[int] = field(default_factory=list[int])
    """Text and end token whose likelihood is asked for; empty: a transcript only."""
    target_prompt: list[int] | None = None
    """What the target follows where that is not the transcript's prompt."""
    respell: Callable[[list[int]], list[int]] | None = None
    """The target for a transcript that became known; None: it is the same for each."""

    def final_target(self, written: list[int]) -> list[int]:
        """What the likelihood is of, now that the transcript is known."""
        return self.target if self.respell is None else self.respell(written)


@dataclass(frozen=True)
class Opening:
    """What Whisper says right after its start token, before any text or language is given."""

    no_speech: float
    """Probability of its token for no speech: openai-whisper's `no_speech_prob`."""
    languages: dict[str, float]
    """Code -> probability of each language it knows, which sum to 1: openai-whisper's
    `detect_language`. Empty where a model is English-only."""


@dataclass(frozen=True)
class Reading:
    """What an engine makes of a job."""

    written: list[int]
    """Greedy transcript, without the end token."""
    nll: float
    """Negative log-likelihood of the final target, nats, summed over its tokens; NaN without one.
    """
    opening: Opening


class ReadingEngine(Protocol):
    """Whisper's passes by one library."""

    def read(self, jobs: Sequence[ReadingJob]) -> Iterator[tuple[int, Reading]]:
        """Index and reading of every job, as they become known; call it again only at the end."""
        ...

    def warm_up(self) -> None:
        """Do what would make the first jobs slower than the others."""
        ...


class GrowingTranscript:
    """A transcript that grows; drafts come from its reference."""

    def __init__(self, index: int, prompt: list[int], reference: list[int], limit: int) -> None:
        """`limit`: most tokens it may have. `reference` ends with the end token, or is empty."""
        self.index = index
        self.prompt = prompt
        self.reference = reference
        self.limit = limit
        self.nll = float("nan")
        """Summed over the tokens of the target."""
        self.opening = Opening(float("nan"), {})
        self.written: list[int] = []
        self.done = False
        self._draft = Draft(reference)

    @property
    def start(self) -> int:
        """Position of the newest token in the decoder."""
        return len(self.prompt) + len(self.written) - 1

    def guess(self, most: int) -> list[int]:
        """What may come next: never more tokens than may still be written."""
        return self._draft.next(min(most, self.limit - len(self.written)))

    def take(self, guess: Sequence[int], best: Sequence[int], end: int) -> None:
        """Write what greedy decoding would have written.

        `best[k]` won after the first k tokens of the guess: it counts while those won too.
        """
        for k, token in enumerate(best):
            # Everything that was read before this token is written already, so it is what greedy
            # decoding writes here, whatever was guessed.
            if token == end:
                self.done = True
                return
            self.written.append(token)
            self._draft.write(token)
            if len(self.written) >= self.limit:
                self.done = True
                return
            if k >= len(guess) or guess[k] != token:
                return  # what won after a wrong guess follows a token that was not written

    def reading(self) -> Reading:
        return Reading(self.written, self.nll, self.opening)
