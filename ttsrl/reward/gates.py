"""Gates: speech that is rewarded 0 whatever the scores, so that no scorer can be fooled by it.

Pure functions; each returns Gated with a reason of the closed list, or None to let pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, get_args

from ttsrl.audio.waveform import FRAME_S, Waveform, level_dbfs
from ttsrl.reward.components import Component
from ttsrl.reward.config import Gates
from ttsrl.wire import Gated

Reason = Literal[
    "no_tokens",
    "token_outside_codebook",
    "no_end_token",
    "too_short",
    "too_long",
    "silence",
    "empty_transcript",
    "below_floor",
]
REASONS: tuple[Reason, ...] = get_args(Reason)
"""Every reason there is, in the order in which they are checked."""


def check_tokens(speech_tokens: Sequence[int], finished: bool, codebook_size: int) -> Gated | None:
    """Gate what cannot be, or should not be, decoded."""
    if not speech_tokens:
        return _gated("no_tokens", "the response has no speech token")
    out_of_range = [t for t in speech_tokens if not 0 <= t < codebook_size]
    if out_of_range:
        return _gated(
            "token_outside_codebook",
            f"{len(out_of_range)} of {len(speech_tokens)} tokens outside [0, {codebook_size}), "
            f"first {out_of_range[0]}",
        )
    if not finished:
        return _gated("no_end_token", f"{len(speech_tokens)} tokens and no end token")
    return None


def check_duration(
    duration_s: float, chars: int, max_duration_s: float, gates: Gates
) -> Gated | None:
    """Gate speech that is too short or too long to be `chars` characters of normalised text.

    `max_duration_s` is the longest waveform that the scorers can hear.
    """
    shortest_s = gates.min_s_per_char * chars
    longest_s = min(gates.max_s_per_char * chars + gates.slack_s, max_duration_s)
    if duration_s < shortest_s:
        return _gated("too_short", f"shorter than {shortest_s:.2f} s", duration_s)
    if duration_s > longest_s:
        return _gated("too_long", f"longer than {longest_s:.2f} s", duration_s)
    return None


def check_level(waveform: Waveform, sample_rate_hz: int, gates: Gates) -> Gated | None:
    """Gate a waveform whose loudest frame is below `min_level_dbfs` (RMS; 0 dBFS is RMS 1)."""
    level = level_dbfs(waveform, sample_rate_hz)
    if level < gates.min_level_dbfs:
        detail = f"loudest {FRAME_S:g} s at {level:.0f} dBFS, below {gates.min_level_dbfs:g}"
        return _gated("silence", detail, len(waveform) / sample_rate_hz)
    return None


def check_transcript(transcript: str | None, duration_s: float) -> Gated | None:
    """Gate speech in which no word was heard; `transcript` is normalised, None if nobody listened.

    Its CER is 1, and exp(-NLL / tau) would still pay a little for it.
    """
    if transcript is None or transcript:
        return None
    return _gated("empty_transcript", "no word was heard", duration_s)


def check_floors(
    components: Iterable[Component],
    raw: Mapping[str, float],
    utilities: Mapping[str, float],
    duration_s: float,
) -> Gated | None:
    """Gate what is too bad in one respect, however good it is in the others."""
    for c in components:
        if utilities[c.type] < c.floor:
            detail = f"{c.type} = {raw[c.type]:.3g}: utility {utilities[c.type]:.2g} < {c.floor:g}"
            return _gated("below_floor", detail, duration_s)
    return None


def _gated(reason: Reason, detail: str, duration_s: float = 0.0) -> Gated:
    return Gated(reason=reason, detail=detail, duration_s=duration_s)
