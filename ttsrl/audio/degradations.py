"""Ways in which speech can be bad: what a reward must rank below the same speech unspoiled.

Each takes a waveform [T] and its rate and gives another one; the same for the same waveform.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ttsrl.audio import sounds, vocoder
from ttsrl.audio.waveform import Waveform

Spoiler = Callable[[Waveform, int], Waveform]

PIECE_S = 0.3
"""What a stuck policy repeats: about a syllable."""
LONG_LOOP_S = 10.0
TRAILING_S = 15.0
CLICKS_PER_S = 12
T60_S = 1.2
NOISE_DB = 0.0
"""Speech above the noise."""
MUSIC_DB = 5.0
"""Speech above the music."""
BREAK_S = 0.25
"""Between two times of the same."""
FRAME_S = 0.03


def silence(waveform: Waveform, rate_hz: int) -> Waveform:
    """Nothing, as long as the speech."""
    return np.zeros_like(waveform)


def noisy(waveform: Waveform, rate_hz: int) -> Waveform:
    """Speech under white noise, `NOISE_DB` below it."""
    return _over(sounds.white_noise, NOISE_DB, waveform, rate_hz)


def background_music(waveform: Waveform, rate_hz: int) -> Waveform:
    """Speech over chords, `MUSIC_DB` below it."""
    return _over(sounds.chords, MUSIC_DB, waveform, rate_hz)


def loop(waveform: Waveform, rate_hz: int) -> Waveform:
    """One piece from the middle over and over, as long as the speech."""
    return _looped(waveform, rate_hz, len(waveform))


def long_loop(waveform: Waveform, rate_hz: int) -> Waveform:
    """The same piece for 10 s."""
    return _looped(waveform, rate_hz, round(LONG_LOOP_S * rate_hz))


def trailing_silence(waveform: Waveform, rate_hz: int) -> Waveform:
    """Nothing for 15 s after the speech."""
    return np.pad(waveform, (0, round(TRAILING_S * rate_hz)))


def repeated_phrase(waveform: Waveform, rate_hz: int) -> Waveform:
    """The end is said again, from the quietest moment in the middle third on."""
    frame = max(1, round(FRAME_S * rate_hz))
    middle = waveform[len(waveform) // 3 : 2 * len(waveform) // 3]
    frames = middle[: len(middle) // frame * frame].reshape(-1, frame)
    quietest = int(np.square(frames).sum(axis=1).argmin()) if len(frames) else 0
    return _twice(waveform, waveform[len(waveform) // 3 + quietest * frame :], rate_hz)


def said_twice(waveform: Waveform, rate_hz: int) -> Waveform:
    """The whole text, and once more."""
    return _twice(waveform, waveform, rate_hz)


def reversed_speech(waveform: Waveform, rate_hz: int) -> Waveform:
    """From the end to the beginning."""
    return np.ascontiguousarray(waveform[::-1])


def truncated(waveform: Waveform, rate_hz: int) -> Waveform:
    """The first half."""
    return waveform[: len(waveform) // 2]


def slow(waveform: Waveform, rate_hz: int) -> Waveform:
    """Half as fast, at the same pitch."""
    return _stretched(waveform, rate_hz, 0.5)


def fast(waveform: Waveform, rate_hz: int) -> Waveform:
    """Twice as fast, at the same pitch."""
    return _stretched(waveform, rate_hz, 2.0)


def clicks(waveform: Waveform, rate_hz: int) -> Waveform:
    """Samples at full scale here and there."""
    degraded = waveform.copy()
    random = np.random.default_rng(0)
    at = random.integers(0, len(waveform), max(1, CLICKS_PER_S * len(waveform) // rate_hz))
    degraded[at] = random.choice([-1.0, 1.0], len(at))
    return degraded


def clipped(waveform: Waveform, rate_hz: int) -> Waveform:
    """Far too loud for full scale."""
    return np.clip(waveform * (5 / max(1e-9, np.abs(waveform).max())), -1, 1).astype(np.float32)


def reverberant(waveform: Waveform, rate_hz: int) -> Waveform:
    """In a large bare room: decaying noise of `T60_S`, as loud as the speech itself."""
    from scipy.signal import fftconvolve

    t = np.arange(round(T60_S * rate_hz)) / rate_hz
    tail = np.random.default_rng(0).standard_normal(len(t)) * 10 ** (-3 * t / T60_S)
    room = tail / np.sqrt((tail**2).sum())
    room[0] = 1.0
    heard = np.asarray(fftconvolve(waveform, room)[: len(waveform)], np.float32)
    return heard * np.float32(_rms(waveform) / max(1e-9, _rms(heard)))


def _in_place_of(sound: sounds.Sound) -> Spoiler:
    """A sound in the place of speech: as long, as loud."""

    def spoil(waveform: Waveform, rate_hz: int) -> Waveform:
        made = np.resize(sound(len(waveform) / rate_hz, rate_hz), len(waveform))
        return made * np.float32(_rms(waveform) / max(1e-9, _rms(made)))

    return spoil


def _over(sound: sounds.Sound, db: float, waveform: Waveform, rate_hz: int) -> Waveform:
    """Speech `db` above a sound."""
    below = _in_place_of(sound)(waveform, rate_hz)
    return (waveform + below * 10 ** (-db / 20)).astype(np.float32)


def _twice(waveform: Waveform, again: Waveform, rate_hz: int) -> Waveform:
    pause = np.zeros(round(BREAK_S * rate_hz), np.float32)
    return np.concatenate([waveform, pause, again])


def _looped(waveform: Waveform, rate_hz: int, samples: int) -> Waveform:
    piece = max(1, min(len(waveform), round(PIECE_S * rate_hz)))
    start = (len(waveform) - piece) // 2
    return np.resize(waveform[start : start + piece], samples)


def _rms(waveform: Waveform) -> float:
    return float(np.sqrt(np.square(waveform, dtype=np.float64).mean()))


def _stretched(waveform: Waveform, rate_hz: int, tempo: float) -> Waveform:
    """By FFmpeg's atempo, which keeps the pitch."""
    import av
    from av.error import BlockingIOError, EOFError
    from av.filter import Graph

    graph = Graph()
    source = graph.add_abuffer(sample_rate=rate_hz, format="flt", layout="mono", time_base=None)
    chain = [source, graph.add("atempo", str(tempo)), graph.add("abuffersink")]
    graph.link_nodes(*chain).configure()
    frame = av.AudioFrame.from_ndarray(
        np.ascontiguousarray(waveform[None]), format="flt", layout="mono"
    )
    frame.sample_rate = rate_hz
    graph.push(frame)
    graph.push(None)
    parts: list[Waveform] = []
    while True:
        try:
            parts.append(graph.pull().to_ndarray().reshape(-1).astype(np.float32))
        except (EOFError, BlockingIOError):
            return np.concatenate(parts, dtype=np.float32)


DEGRADATIONS: dict[str, Spoiler] = {
    "silence": silence,
    **{name: _in_place_of(sound) for name, sound in sounds.SOUNDS.items()},
    **{
        f.__name__: f
        for f in (
            *(noisy, loop, long_loop, truncated, trailing_silence, reversed_speech),
            *(slow, fast, clicks, clipped, reverberant, background_music),
            *(repeated_phrase, said_twice),
        )
    },
}
REVOICED: dict[str, Spoiler] = {f.__name__: f for f in (vocoder.flat_pitch, vocoder.another_voice)}
"""By a vocoder: their clean twin is what the vocoder makes of the recording unchanged."""
