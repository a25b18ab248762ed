"""Outcomes by content: a rollout that comes again, in a later step or a retry, costs nothing."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Hashable

from ttsrl.wire import Failed, Outcome


class OutcomeCache:
    """The outcomes last asked for, of one reward specification.

    A key holds the specification's hash and everything that an outcome depends on, so that nothing
    outlives a change of codec, models, normaliser, gates or weights. What failed is not kept: it
    may be measured the next time.
    """

    def __init__(self, spec_hash: str, size: int) -> None:
        """`size`: outcomes that are kept at most; 0 keeps none."""
        self._spec_hash = spec_hash
        self._size = size
        self._outcomes: OrderedDict[bytes, Outcome] = OrderedDict()

    def get(self, content: Hashable) -> Outcome | None:
        """The outcome of this content, if it is known."""
        key = self._key(content)
        if key in self._outcomes:
            self._outcomes.move_to_end(key)
        return self._outcomes.get(key)

    def put(self, content: Hashable, outcome: Outcome) -> None:
        """Remember an outcome, and forget the one that was not asked for the longest."""
        if isinstance(outcome, Failed) or not self._size:
            return
        self._outcomes[self._key(content)] = outcome
        if len(self._outcomes) > self._size:
            self._outcomes.popitem(last=False)

    def _key(self, content: Hashable) -> bytes:
        """32 bytes, however long the utterance."""
        return hashlib.sha256(f"{self._spec_hash} {content!r}".encode()).digest()
