"""Gates: speech that is rewarded 0 whatever the scores, so that no scorer can be fooled by it.

Pure functions; each returns Gated with a reason of the closed list, or None to let pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from ttsrl.audio.waveform import FRAME_S, Waveform, level_dbfs
from ttsrl.families.frames import misplaced
from ttsrl.reward.components import Component
from ttsrl.reward.config import Gates
from ttsrl.reward.repetition import compression_ratio, longest_repetition, repeated_chars
from ttsrl.wire import Gated

Reason = Literal[
    "no_tokens",
    "token_outside_codebook",
    "no_end_token",
    "too_short",
    "too_long",
    "repeated_tokens",
    "silence",
    "no_speech",
    "empty_transcript",
    "repeated_words",
    "below_floor",
]
LOOPS_MORE = 1.5
"""A transcript's compression ratio over its text's, from which it loops and the text does not."""
LOOPS_CER = 0.5
"""What loops has at least as many errors per character of its text."""
REASONS: tuple[Reason, ...] = get_args(Reason)
"""Every reason there is, in the order in which they are checked."""


@dataclass(frozen=True)
class VoiceFound:
    """What a voice-activity detector takes for speech."""

    sure_s: float
    """Seconds of the frames above `speech_threshold`."""
    faint_s: float
    """Seconds of those above `faint_threshold`."""


def check_tokens(
    speech_tokens: Sequence[int], finished: bool, codebook_size: int, frame_tokens: int = 1
) -> Gated | None:
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
    if out_of_place := misplaced(speech_tokens, codebook_size, frame_tokens):
        return _gated("token_outside_codebook", out_of_place)
    if beyond := len(speech_tokens) % frame_tokens:
        detail = f"it ends within a frame, after {beyond} of {frame_tokens} tokens"
        return _gated("token_outside_codebook", detail)
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


def check_repetition(
    speech_tokens: Sequence[int],
    tokens_per_s: float,
    frame_tokens: int,
    units: Sequence[str],
    gates: Gates,
) -> Gated | None:
    """Gate tokens that say for long what they have just said; `units` as `repeated_chars` has it.

    A pause repeats its tokens, too: what is gated is a stretch that no speech has, or that leaves
    no room for any.
    """
    window = gates.repetition_frames * frame_tokens
    repeated = longest_repetition(speech_tokens, window, gates.repetition_times)
    repeated_s = repeated / tokens_per_s
    duration_s = len(speech_tokens) / tokens_per_s
    longest_s = gates.max_repetition_s
    if chars := repeated_chars(units):
        longest_s += gates.max_s_per_char * chars
    else:
        longest_s = min(longest_s, gates.max_repetition_share * duration_s)
    if repeated_s <= longest_s:
        return None
    detail = (
        f"{repeated_s:.2f} s in which every token is one of the {window} before it, "
        f"longer than {longest_s:.2f} s"
    )
    return _gated("repeated_tokens", detail, duration_s)


def check_level(waveform: Waveform, sample_rate_hz: int, gates: Gates) -> Gated | None:
    """Gate a waveform whose loudest frame is below `min_level_dbfs` (RMS; 0 dBFS is RMS 1)."""
    level = level_dbfs(waveform, sample_rate_hz)
    if level < gates.min_level_dbfs:
        detail = f"loudest {FRAME_S:g} s at {level:.0f} dBFS, below {gates.min_level_dbfs:g}"
        return _gated("silence", detail, len(waveform) / sample_rate_hz)
    return None


def check_speech(
    voice: VoiceFound, no_speech: float | None, chars: int, duration_s: float, gates: Gates
) -> Gated | None:
    """Gate sound in which nobody speaks, such as a hum that a recogniser takes for "you".

    `no_speech`: Whisper's probability, None where it does not listen; `chars`: of the normalised
    text.
    """
    least_s = max(gates.min_speech_s, gates.min_s_per_char * chars)
    heard_too = no_speech is not None and no_speech <= gates.max_no_speech
    if voice.sure_s >= least_s or (heard_too and voice.faint_s >= least_s):
        return None
    detail = f"{voice.sure_s:.2f} s of speech found, {voice.faint_s:.2f} s of what may be some"
    if no_speech is not None:
        detail += f", no-speech probability {no_speech:.2f}"
    return _gated("no_speech", f"{detail}; at least {least_s:.2f} s expected", duration_s)


def check_transcript(transcript: str, duration_s: float) -> Gated | None:
    """Gate speech in which no word was heard; `transcript` is normalised.

    Its CER is 1, and exp(-NLL / tau) would still pay a little for it.
    """
    if transcript:
        return None
    return _gated("empty_transcript", "no word was heard", duration_s)


def check_words(
    transcript: str, text: str, cer: float, duration_s: float, gates: Gates
) -> Gated | None:
    """Gate a transcript that loops, unless its text does; both normalised.

    What is heard nearly as the text is written is no loop: "7777777777" may be said as ten times
    the same word.
    """
    heard, wanted = compression_ratio(transcript), compression_ratio(text)
    most = max(gates.max_compression_ratio, LOOPS_MORE * wanted)
    if heard <= most or cer < LOOPS_CER:
        return None
    detail = f"the transcript's compression ratio is {heard:.1f}, above {most:.1f}"
    return _gated("repeated_words", detail, duration_s)


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
