"""Base of the scorers that ask another program: several requests at once, each fails alone."""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import Any

from ttsrl.errors import BadInput
from ttsrl.reward.remote import RemoteProgram
from ttsrl.scorers.base import SpeechSample
from ttsrl.wire import Failed


@dataclass(frozen=True)
class Usage:
    """What requests have used up."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0
    """In the currency of the configured prices."""

    def __add__(self, other: Usage) -> Usage:
        return Usage(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


NOTHING_USED = Usage()


class NotAnswered(Exception):
    """The other program did not measure an utterance; `kind` is one of `ttsrl.wire.Failed`."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind


class RemoteScorer(ABC):
    """A scorer whose measurements are another program's answers.

    An utterance that is not answered is `Failed` alone: nothing is raised for it, as the others
    would be asked again. An outage has the kind `unreachable`, which does not replace the worker.
    """

    spec: Mapping[str, Any]
    example: Mapping[str, Any]

    def __init__(self, name: str, concurrency: int) -> None:
        self.name = name
        self._pool = ThreadPoolExecutor(concurrency, thread_name_prefix=name)
        self._lock = threading.Lock()
        self._usage = NOTHING_USED

    @abstractmethod
    def ask(self, speech: SpeechSample) -> float:
        """The raw value of one utterance. Raises NotAnswered, BadInput."""

    def score(self, speeches: Sequence[SpeechSample]) -> list[dict[str, float] | Failed]:
        """`Scorer.score`; the answers do not depend on the batch."""
        return list(self._pool.map(self._measure, speeches))

    def check(self, clip: SpeechSample) -> None:
        """Raise RuntimeError unless a clip is answered."""
        try:
            self.ask(clip)
        except NotAnswered as error:
            raise RuntimeError(f"{self.name}: {error}") from None

    def spend(self, usage: Usage) -> None:
        """Count what a request has used."""
        with self._lock:
            self._usage += usage

    def take_usage(self) -> Usage:
        """What was used since this was last asked."""
        with self._lock:
            usage, self._usage = self._usage, NOTHING_USED
        return usage

    def _measure(self, speech: SpeechSample) -> dict[str, float] | Failed:
        try:
            return {self.name: self.ask(speech)}
        except NotAnswered as error:
            return Failed(kind=error.kind, detail=f"{self.name}: {error}")
        except BadInput as error:
            return Failed(kind="rejected", detail=f"{self.name}: {error}")


def key_of(program: RemoteProgram) -> str | None:
    """The key that the program asks for. Raises BadInput where its variable is not set."""
    if program.key_variable is None:
        return None
    key = os.environ.get(program.key_variable)
    if not key:
        raise BadInput(
            f"the key of {program.url} is missing: set the environment variable "
            f"{program.key_variable}, or leave key_variable out if the server asks for none"
        )
    return key


def key_refused(program: RemoteProgram, said: str) -> NotAnswered:
    """What it means that the program answers 401 or 403."""
    key = program.key_variable
    way_out = f"look at ${key}" if key else "name the key's variable as key_variable"
    return NotAnswered("unreachable", f"{said}; {way_out}")
