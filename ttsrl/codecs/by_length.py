"""Batches of equal length: convolutions and attention hear padding, so nothing is padded."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from ttsrl.audio.waveform import Waveform


def decode_by_length(
    tokens_B: Sequence[Sequence[int]],
    codebook_size: int,
    decode: Callable[[torch.Tensor], torch.Tensor],
) -> list[Waveform]:
    """Decode utterances of any lengths >= 1 with a network that takes one length at a time.

    `decode` maps tokens [B, T] (int64, on the CPU) to samples [B, S]. Raises ValueError for an
    empty utterance and for tokens outside the codebook.
    """
    same_length: dict[int, list[int]] = {}
    for i, tokens in enumerate(tokens_B):
        check_tokens(tokens, codebook_size)
        same_length.setdefault(len(tokens), []).append(i)
    waveforms: dict[int, Waveform] = {}
    for rows in same_length.values():
        samples = decode(torch.tensor([list(tokens_B[i]) for i in rows]))
        waveforms.update(zip(rows, samples.float().cpu().numpy(), strict=True))
    return [waveforms[i] for i in range(len(tokens_B))]


def check_tokens(tokens: Sequence[int], codebook_size: int) -> None:
    """Raise ValueError for an empty utterance and for tokens outside the codebook."""
    if not tokens:
        raise ValueError("cannot decode an utterance of no speech tokens")
    if min(tokens) < 0 or max(tokens) >= codebook_size:
        out_of_range = [t for t in tokens if not 0 <= t < codebook_size]
        raise ValueError(
            f"speech tokens must lie in [0, {codebook_size}): got {out_of_range[:3]}; "
            "check the token offset of the family"
        )
