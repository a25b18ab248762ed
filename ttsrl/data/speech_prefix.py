"""Prefixes: the real speech with which a training prompt begins.

As in mair-hub's rl-tutorial/cosyvoice_llm/prepare_data.py: the first codes of the text's own
recording, of a random length; the reward hears prefix and response together, against the whole
text. Other than there, the length depends on seed and text alone, and a prefix is never the whole
recording.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from ttsrl.config.data import PrefixConfig
from ttsrl.config.schema import RunConfig
from ttsrl.data.token_shards import codec_of, encoder_digest
from ttsrl.errors import BadInput
from ttsrl.families.frames import misplaced
from ttsrl.models.hub import local_folder


def prefix_of(
    text: str,
    speech_tokens: Sequence[int],
    prefix: PrefixConfig,
    tokens_per_s: float,
    seed: int,
    frame_tokens: int = 1,
) -> list[int]:
    """The first speech tokens of a recording, in whole frames, or none: a function of its arguments
    alone."""
    chosen, length = _uniforms(seed, text)
    if chosen >= prefix.prompts_share:
        return []
    longest = int(prefix.max_share * len(speech_tokens))
    if longest < int(prefix.min_s * tokens_per_s):
        return []
    seconds = prefix.min_s + length * (prefix.max_s - prefix.min_s)
    count = min(longest, int(seconds * tokens_per_s))
    return list(speech_tokens[: count // frame_tokens * frame_tokens])


def tokens_per_s_of(run: RunConfig, prefix: PrefixConfig) -> tuple[float, int | None]:
    """(rate of the data's speech tokens, size of their codebook where it is known).

    Raises BadInput where the rate is not known, and for tokens of another codec than the run's.
    """
    codec = codec_of(Path(run.data.texts))
    if codec is None and prefix.tokens_per_s is None:
        raise BadInput(
            f"{run.data.texts} does not tell the rate of its speech tokens; set "
            "data.prefix.tokens_per_s (XCodec2: 50, CosyVoice2: 25), or make them by `ttsrl encode`"
        )
    if codec is None:
        return float(prefix.tokens_per_s or 0), None
    if codec.name != run.codec and codec.digest != encoder_digest(local_folder(run.codec)):
        raise BadInput(
            f"the speech tokens of {run.data.texts} come from the codec {codec.name}, the run's is "
            f"{run.codec}, and they differ; encode the recordings with the run's codec"
        )
    if prefix.tokens_per_s not in (None, codec.tokens_per_s):
        raise BadInput(
            f"data.prefix.tokens_per_s = {prefix.tokens_per_s:g}, and the speech tokens of "
            f"{run.data.texts} have {codec.tokens_per_s:g}; leave it out"
        )
    return codec.tokens_per_s, codec.codebook_size


def check_codes(
    text: str, speech_tokens: Sequence[int], codebook_size: int | None, frame_tokens: int = 1
) -> None:
    """Raise BadInput for tokens outside the codebook, or out of their places in a frame."""
    size = codebook_size or 2**31
    if out_of_range := [token for token in speech_tokens if not 0 <= token < size]:
        raise BadInput(
            f"the recording of text {text[:40]!r} has the speech token {out_of_range[0]}, outside "
            f"the codebook [0, {size}); encode it with the run's codec"
        )
    if codebook_size and (wrong := misplaced(speech_tokens, codebook_size, frame_tokens)):
        raise BadInput(
            f"the recording of text {text[:40]!r} has tokens out of their places: {wrong}; encode "
            "it with the run's codec"
        )


def _uniforms(seed: int, text: str) -> tuple[float, float]:
    """Two numbers in [0, 1)."""
    digest = hashlib.sha256(f"prefix {seed} {text}".encode()).digest()
    first, second = (int.from_bytes(part[:7], "big") / 2**56 for part in (digest, digest[8:]))
    return first, second
