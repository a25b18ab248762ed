"""Utterances of unequal lengths in passes of a few shapes, one CUDA graph for each.

An utterance's pass has the same shape in whatever company: one of another shape would take other
kernels, and round differently.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class FixedPass:
    """Utterances that are computed together."""

    members: list[int]
    rows: list[int]
    """The members, and the first of them again until there are as many as in every such pass."""
    length: int
    """Of every row, padding included."""


@dataclass
class Passes:
    """How many rows a pass has, what its length is a multiple of, and how much is in it at most."""

    rows: int = 1
    multiple: int = 1
    largest: int = 8192
    """Rows times length; an utterance that is longer has a pass for itself."""

    def of(self, lengths_B: Sequence[int]) -> Iterator[FixedPass]:
        """All utterances, those of one rounded length together."""
        rounded_B = [-(-length // self.multiple) * self.multiple for length in lengths_B]
        for rounded in sorted(set(rounded_B)):
            members = [n for n, other in enumerate(rounded_B) if other == rounded]
            rows = max(1, min(self.rows, self.largest // rounded))
            for first in range(0, len(members), rows):
                of_pass = members[first : first + rows]
                yield FixedPass(of_pass, of_pass + of_pass[:1] * (rows - len(of_pass)), rounded)
