"""What waits of one run, in the order in which it is measured."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from ttsrl.wire import Outcome, Utterance


@dataclass(eq=False)
class QueuedUtterance:
    """An utterance that waits for a worker."""

    utterance: Utterance
    outcome: asyncio.Future[Outcome]
    arrived_s: float
    """On the monotonic clock."""
    longest: int
    """Tokens of the longest utterance of its request."""
    losses: int = 0
    """Workers that were lost while they measured it."""


class RunQueue:
    """Rounds of near lengths.

    What has arrived when a round ends is the next one, in order of length, because utterances of
    one length are decoded together; a request stays whole, because it is answered when its last
    utterance is, and its client may have more. What arrives meanwhile waits for the next round, so
    that nothing starves.
    """

    def __init__(self, name: str, taken: int) -> None:
        """`taken`: where its turn begins, in utterances; the run with the least is next."""
        self.name = name
        self.taken = taken
        self._arrived: list[QueuedUtterance] = []
        self._round: list[QueuedUtterance] = []

    def __len__(self) -> int:
        return len(self._arrived) + len(self._round)

    def add(self, items: Sequence[QueuedUtterance]) -> None:
        """One request's utterances wait from now on."""
        self._arrived += items

    def drop_unwanted(self) -> None:
        """Forget what was cancelled."""
        self._arrived, self._round = wanted(self._arrived), wanted(self._round)

    def take(self, count: int) -> list[QueuedUtterance]:
        """The next `count`, or all; the end of a round is filled from the next one, because a
        small batch takes nearly as long as a full one."""
        self.drop_unwanted()
        if len(self._round) < count:
            arrived, self._arrived = self._arrived, []
            self._round += sorted(arrived, key=lambda item: item.longest)
        taken, self._round = self._round[:count], self._round[count:]
        self.taken += len(taken)
        return taken


def wanted(items: Sequence[QueuedUtterance]) -> list[QueuedUtterance]:
    """Those that somebody still waits for."""
    return [item for item in items if not item.outcome.done()]
