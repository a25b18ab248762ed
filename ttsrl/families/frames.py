"""Codebooks whose tokens come in frames: a token's place in the frame decides which it may be.

Orpheus writes a frame of SNAC as seven tokens, the k-th of them out of the k-th seventh of the
codebook. Where every token may stand anywhere, a frame is one token.
"""

from __future__ import annotations

from collections.abc import Sequence


def misplaced(tokens: Sequence[int], codebook_size: int, frame_tokens: int) -> str | None:
    """What is wrong with the first speech token [0, codebook_size) out of its place; None: nothing.

    The last frame may have fewer tokens than a whole one.
    """
    if frame_tokens == 1:
        return None
    size = codebook_size // frame_tokens
    for n, token in enumerate(tokens):
        place = n % frame_tokens
        if token // size != place:
            return (
                f"token {n} is {token}, and place {place} of a frame of {frame_tokens} takes "
                f"[{place * size}, {(place + 1) * size})"
            )
    return None


def example_tokens(count: int, codebook_size: int, frame_tokens: int, first: int = 0) -> list[int]:
    """About `count` speech tokens in their places, in whole frames; other ones for each `first`."""
    size = codebook_size // frame_tokens
    whole = max(1, count // frame_tokens) * frame_tokens
    return [n % frame_tokens * size + (7 * n + first) % size for n in range(whole)]
