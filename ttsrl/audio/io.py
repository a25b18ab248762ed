"""Recordings as mono waveforms, waveforms between sample rates and as data URIs.

Every recording is read here: those of a data source, voices, suites' prompts, clips of an audit and
of listeners, and what `/score_wav` gets. WAV, RF64, W64, AIFF, CAF, AU, NIST SPHERE, FLAC, Ogg
(Vorbis, Opus), MP3, M4A and MP4, AAC, WebM and AMR are read, whatever a file is called. A file that
is cut short is refused (see `ttsrl.audio.container` for what can be known of each kind), and so are
one that does not decode, samples that are not finite or are not scaled to 1, and sample rates and
channels that no recording has. Channels are averaged. Integers are divided by their full scale.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ttsrl.audio.container import container_of, cut_short, not_audio
from ttsrl.audio.decoders import Decoder, Samples, open_decoder, open_file
from ttsrl.audio.waveform import Waveform
from ttsrl.errors import BadInput, reason_of
from ttsrl.lines.folders import is_file

SUFFIXES = (
    ".wav",
    ".flac",
    ".ogg",
    ".opus",
    ".mp3",
    ".m4a",
    ".aac",
    ".webm",
    ".aif",
    ".aiff",
    ".au",
    ".caf",
    ".sph",
    ".w64",
)
"""Files in a folder that are taken for recordings; capitals do not matter."""

LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 4_000, 192_000
MOST_CHANNELS = 64
LOUDEST = 16.0
"""Floating-point samples beyond this (+24 dB of full scale) are integers that were not scaled."""
SHORTEST_SAMPLES = 32
"""FFmpeg resamples no less."""
SEGMENT_SLACK_S = 0.1
"""How far a segment may reach beyond its recording: manifests round their times."""


@dataclass(frozen=True)
class Segment:
    """A part of a recording."""

    offset_s: float = 0.0
    duration_s: float | None = None
    """Until the end, if None."""

    def __post_init__(self) -> None:
        """Raise BadInput for times that are none."""
        for name, value in (("offset", self.offset_s), ("duration", self.duration_s)):
            if value is not None and not 0 <= value < math.inf:
                raise BadInput(f"the segment's {name} is {value}; give seconds from 0")


WHOLE = Segment()


def duration_of(audio: Path | bytes, segment: Segment = WHOLE) -> float:
    """Seconds of an audio file, or of its segment, as its header says.

    What has no header for it is decoded. Raises BadInput as `read_channels` does, save for what
    only the samples tell.
    """
    with _open(audio) as decoder:
        rate_hz, samples = decoder.sample_rate_hz, decoder.samples
        if samples is None:
            samples = sum(map(len, decoder.blocks()))
    start, stop = _bounds(segment, samples / rate_hz)
    return stop - start


def read_mono(
    audio: Path | bytes,
    sample_rate_hz: int,
    segment: Segment = WHOLE,
    longest_s: float = math.inf,
) -> Waveform:
    """As `read_recording`, at `sample_rate_hz`. Raises BadInput for less than 32 samples, too."""
    samples, rate_hz = read_recording(audio, segment, longest_s)
    if len(samples) < SHORTEST_SAMPLES:
        raise BadInput(f"the audio has {len(samples)} samples; give at least {SHORTEST_SAMPLES}")
    return resample(samples, rate_hz, sample_rate_hz)


def read_recording(
    audio: Path | bytes, segment: Segment = WHOLE, longest_s: float = math.inf
) -> tuple[Waveform, int]:
    """Samples of an audio file or of its segment, channels averaged, [T], and their rate in Hz.

    Raises BadInput as `read_channels` does.
    """
    # Block by block: many channels of a few minutes would fill the memory.
    samples_T1, rate_hz = _read(
        audio, segment, longest_s, lambda b: b.mean(axis=1, dtype=np.float32, keepdims=True)
    )
    return samples_T1[:, 0], rate_hz


def read_channels(
    audio: Path | bytes, segment: Segment = WHOLE, longest_s: float = math.inf
) -> tuple[Samples, int]:
    """Samples of an audio file or of its segment, [T, channels], and their rate in Hz.

    Raises BadInput for a file that is not audio, is damaged or cut short, for one that lasts more
    than `longest_s` (nothing beyond that is decoded), for a segment that is not in it, and for
    samples that are not finite or not scaled to 1.
    """
    return _read(audio, segment, longest_s, lambda block: block)


def _read(
    audio: Path | bytes, segment: Segment, longest_s: float, mix: Callable[[Samples], Samples]
) -> tuple[Samples, int]:
    """Samples of a file, of which `mix` has seen every block."""
    with _open(audio) as decoder:
        rate_hz = decoder.sample_rate_hz
        told_s = math.inf if decoder.samples is None else decoder.samples / rate_hz
        begin_s, end_s = _bounds(segment, told_s)
        if end_s - begin_s > longest_s and end_s < math.inf:
            raise _too_long(longest_s, f"{end_s - begin_s:.1f} s")
        end = math.inf if segment.duration_s is None else round(end_s * rate_hz)
        parts, at = _decode(decoder, mix, round(begin_s * rate_hz), end, longest_s * rate_hz)
    parts = parts or [mix(np.empty((0, decoder.channels), np.float32))]
    samples_TC = np.concatenate(parts)
    if segment != WHOLE:
        _bounds(segment, at / rate_hz)
    if len(samples_TC) > longest_s * rate_hz:
        raise _too_long(longest_s)
    check_samples(samples_TC)
    return samples_TC, rate_hz


def check_samples(samples: Samples) -> None:
    """Raise BadInput for samples of any shape that are not finite or not scaled to 1."""
    if not np.isfinite(samples).all():
        raise BadInput("the audio has samples that are not numbers")
    if (peak := float(np.abs(samples).max(initial=0.0))) > LOUDEST:
        raise BadInput(
            f"the audio's samples reach {peak:g}, where 1 is full scale; divide them by the full "
            "scale of their integers"
        )


def _bounds(segment: Segment, duration_s: float) -> tuple[float, float]:
    """(begin, end) of a segment in seconds. Raises BadInput for one that is not in the file."""
    wanted_s = segment.offset_s + (segment.duration_s or 0.0)
    if wanted_s > duration_s + SEGMENT_SLACK_S or 0 < duration_s <= segment.offset_s:
        until = "its end" if segment.duration_s is None else f"{wanted_s:.2f} s"
        raise BadInput(
            f"the segment from {segment.offset_s:.2f} s to {until} is not in the recording, which "
            f"lasts {duration_s:.2f} s; correct its offset and duration"
        )
    end_s = duration_s if segment.duration_s is None else min(wanted_s, duration_s)
    return segment.offset_s, max(segment.offset_s, end_s)


def _decode(
    decoder: Decoder, mix: Callable[[Samples], Samples], begin: int, end: float, most: float
) -> tuple[list[Samples], int]:
    """(blocks between two samples, the sample after the last that was decoded).

    It ends with the block that makes more than `most`. Raises BadInput for a file that
    ends before it said that it would.
    """
    parts: list[Samples] = []
    at, kept = decoder.seek(begin) if begin else 0, 0
    for block in decoder.blocks():
        part = block[max(0, begin - at) : max(0, int(min(len(block), end - at)))]
        at, kept = at + len(block), kept + len(part)
        parts.append(mix(part))
        if kept > most or at >= end:
            return parts, at
    if decoder.is_short(at):
        raise cut_short(at, decoder.samples or 0, "samples")
    return parts, at


def _too_long(longest_s: float, lasts: str = "") -> BadInput:
    return BadInput(f"the audio has {lasts or 'more'}; give at most {longest_s:g} s")


def resample(waveform: Waveform, from_hz: int, to_hz: int) -> Waveform:
    """Resample mono float32 samples, [T >= 32] -> [T * to_hz / from_hz] (FFmpeg)."""
    if from_hz == to_hz:
        return waveform

    import av

    frame = av.AudioFrame.from_ndarray(
        np.ascontiguousarray(waveform[None]), format="fltp", layout="mono"
    )
    frame.sample_rate = from_hz
    resampler = av.AudioResampler(format="fltp", layout="mono", rate=to_hz)
    parts = [out.to_ndarray()[0] for out in (*resampler.resample(frame), *resampler.resample(None))]
    return np.concatenate(parts, dtype=np.float32)


def flac_uri(waveform: Waveform, sample_rate_hz: int) -> str:
    """A data URI of 16-bit FLAC: lossless, smaller than a WAV, played by every browser."""
    return f"data:audio/flac;base64,{base64.b64encode(flac(waveform, sample_rate_hz)).decode()}"


def flac(waveform: Waveform, sample_rate_hz: int) -> bytes:
    """The contents of a 16-bit FLAC file."""
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, waveform, sample_rate_hz, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


@contextmanager
def _open(audio: Path | bytes) -> Generator[Decoder]:
    """A decoder of a whole file; whatever goes wrong until it is closed becomes BadInput."""
    if isinstance(audio, Path) and not is_file(audio):
        raise BadInput("no such file")
    try:
        with open_file(audio) as file:
            container = container_of(file)
            samples = container.check(file, file.seek(0, io.SEEK_END))
        with open_decoder(audio, container, samples) as decoder:
            _check_form(decoder)
            yield decoder
    except BadInput:
        raise
    except OSError as error:
        raise BadInput(f"the file cannot be read: {error.strerror}") from None
    except Exception as error:
        # Decoders have errors of many classes, and each is about this file.
        raise not_audio(reason_of(error).rpartition(": ")[2].rstrip(".") or "cut short") from None


def _check_form(decoder: Decoder) -> None:
    if not LOWEST_RATE_HZ <= decoder.sample_rate_hz <= HIGHEST_RATE_HZ:
        raise BadInput(
            f"the audio has {decoder.sample_rate_hz} samples per second; give "
            f"{LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ}"
        )
    if not 1 <= decoder.channels <= MOST_CHANNELS:
        raise BadInput(
            f"the audio has {decoder.channels} channels; give 1 to {MOST_CHANNELS} of them"
        )
