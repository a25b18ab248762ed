"""Batches of waveforms of one length: many networks hear the padding of a shorter one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from ttsrl.audio.waveform import Waveform


def equal_lengths(waveforms: Sequence[Waveform], batch_size: int) -> Iterator[list[int]]:
    """Indices of at most `batch_size` waveforms of one length; each index once."""
    rows_of: dict[int, list[int]] = defaultdict(list)
    for n, waveform in enumerate(waveforms):
        rows_of[len(waveform)].append(n)
    for rows in rows_of.values():
        for first in range(0, len(rows), batch_size):
            yield rows[first : first + batch_size]
