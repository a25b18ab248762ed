"""Transcripts of waveforms of unequal length, in batches of equal ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ttsrl.audio.equal_lengths import equal_lengths
from ttsrl.audio.io import resample
from ttsrl.audio.waveform import Waveform


def by_length(
    hear: Callable[[list[Waveform], int], list[str]],
    waveforms: Sequence[Waveform],
    sample_rate_hz: int,
    rate_hz: int,
    batch_size: int,
) -> list[str]:
    """What `hear` writes of waveforms at `rate_hz`, at most `batch_size` at once, in their order.

    Only waveforms of equal length share a batch: many recognisers hear padding.
    """
    heard = [resample(waveform, sample_rate_hz, rate_hz) for waveform in waveforms]
    transcripts = [""] * len(heard)
    for batch in equal_lengths(heard, batch_size):
        for n, text in zip(batch, hear([heard[n] for n in batch], rate_hz), strict=True):
            transcripts[n] = text.strip()
    return transcripts
