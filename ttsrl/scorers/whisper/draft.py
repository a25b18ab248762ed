"""The reference text as a draft of the transcript: what a recogniser probably writes next.

A transcript that has left its reference is aligned to it anew after every token: what follows the
prefix of the reference with the fewest edits to what is written is the guess. A wrong guess costs
nothing but its place in a pass that is made anyway.
"""

from __future__ import annotations

from collections.abc import Sequence

BAND = 12
"""Positions of the reference that are looked at on either side of the last one."""


class Draft:
    """Follows one transcript along its reference, both as token ids."""

    def __init__(self, reference: Sequence[int]) -> None:
        self.reference = list(reference)
        self.at = 0
        """Length of the reference's prefix that the transcript has reached."""
        self.edits: list[float] | None = None
        """Fewest edits from the transcript to each prefix; None while they are equal."""

    def write(self, token: int) -> None:
        """The transcript has one token more."""
        if self.edits is None:
            # Most transcripts never leave their reference, and need no table.
            if self.at < len(self.reference) and self.reference[self.at] == token:
                self.at += 1
                return
            self.edits = [abs(k - self.at) for k in range(len(self.reference) + 1)]
        # One row of the Levenshtein table, near the last position only: a step must not cost more
        # for a long reference.
        old, new = self.edits, [float("inf")] * len(self.edits)
        low, high = max(0, self.at - BAND), min(len(old), self.at + BAND + 2)
        new[low] = old[low] + 1
        for k in range(max(1, low), high):
            substituted = old[k - 1] + (self.reference[k - 1] != token)
            new[k] = min(substituted, old[k] + 1, new[k - 1] + 1)
        self.edits = new
        self.at = min(range(low, high), key=lambda k: self._rank(k, token))

    def next(self, most: int) -> list[int]:
        """The guess, at most so many tokens."""
        return self.reference[self.at : self.at + most]

    def _rank(self, k: int, token: int) -> tuple[float, bool, int]:
        """Smallest at the likeliest prefix: fewest edits, then the token itself, then in step."""
        assert self.edits is not None
        return self.edits[k], k == 0 or self.reference[k - 1] != token, abs(k - self.at - 1)
