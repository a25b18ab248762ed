"""Recordings as mono waveforms, waveforms between sample rates and as data URIs."""

from __future__ import annotations

import base64
import io
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ttsrl.audio.waveform import Waveform
from ttsrl.errors import BadInput


def duration_of(audio: Path | bytes) -> float:
    """Seconds of a WAV, FLAC, Ogg or MP3 file, as its header says. Raises BadInput."""
    with _open(audio) as file:
        return file.frames / file.samplerate


def read_mono(audio: Path | bytes, sample_rate_hz: int) -> Waveform:
    """As `read_recording`, at `sample_rate_hz`."""
    samples, rate_hz = read_recording(audio)
    return resample(samples, rate_hz, sample_rate_hz)


def read_recording(audio: Path | bytes) -> tuple[Waveform, int]:
    """Samples of an audio file, channels averaged, [T], and their rate in Hz.

    Raises BadInput as `read_channels` does.
    """
    samples_TC, rate_hz = read_channels(audio)
    return samples_TC.mean(axis=1, dtype=np.float32), rate_hz


def read_channels(audio: Path | bytes) -> tuple[NDArray[np.float32], int]:
    """Samples of a WAV, FLAC, Ogg or MP3 file, [T, channels], and their rate in Hz.

    Raises BadInput for a file that is not audio, is cut short, or holds samples that are not
    finite.
    """
    with _open(audio) as file:
        samples_TC = file.read(dtype="float32", always_2d=True)
        if len(samples_TC) < file.frames:
            raise BadInput(f"the audio is cut short: {len(samples_TC)} of {file.frames} samples")
        rate_hz = int(file.samplerate)
    if not np.isfinite(samples_TC).all():
        raise BadInput("the audio has samples that are not numbers")
    return samples_TC, rate_hz


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
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, waveform, sample_rate_hz, format="FLAC", subtype="PCM_16")
    return f"data:audio/flac;base64,{base64.b64encode(buffer.getvalue()).decode()}"


@contextmanager
def _open(audio: Path | bytes) -> Generator[Any]:
    """soundfile's SoundFile; its errors become BadInput."""
    import soundfile

    if isinstance(audio, Path) and not audio.is_file():
        raise BadInput("no such file")
    try:
        with soundfile.SoundFile(audio if isinstance(audio, Path) else io.BytesIO(audio)) as file:
            yield file
    except soundfile.SoundFileError as error:
        reason = str(error).rpartition(": ")[2].rstrip(".") or "it is cut short"
        raise BadInput(
            f"the file is not audio, or is damaged: {reason}; give WAV, FLAC, Ogg or MP3"
        ) from None
    except OSError as error:
        raise BadInput(f"the file cannot be read: {error.strerror}") from None
