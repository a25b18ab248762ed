"""Batches of one length: padding reaches what convolutions and attention make of a shorter one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence, Sized


def equal_lengths(sequences: Sequence[Sized], batch_size: int | None = None) -> Iterator[list[int]]:
    """Indices of sequences of one length, at most `batch_size` at once; each index once."""
    rows_of: dict[int, list[int]] = defaultdict(list)
    for n, sequence in enumerate(sequences):
        rows_of[len(sequence)].append(n)
    for rows in rows_of.values():
        size = batch_size or len(rows)
        yield from (rows[first : first + size] for first in range(0, len(rows), size))
