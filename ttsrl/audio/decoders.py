"""The two libraries that decode audio files, as one protocol: libsndfile, and FFmpeg for the rest.

libsndfile decodes WAV, FLAC, Ogg, MP3 and other kinds of old; FFmpeg (PyAV) what it does not know:
MP4, WebM, AAC, AMR, and the encodings of WAV in which it cannot move, such as GSM 6.10.
"""

from __future__ import annotations

import io
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from ttsrl.audio.container import Container

if TYPE_CHECKING:
    from av.container import InputContainer
    from soundfile import SoundFile

BLOCK = 1 << 16
"""Samples per channel that are decoded at once."""
SNDFILE_UNKNOWN = 2**62
"""libsndfile's number of samples where the header has none is larger."""
FFMPEG_SLACK_S = 0.25
"""An AAC encoder's silence before and after is at most about this long."""

NOT_FOR_SNDFILE = (1, 4)
"""libsndfile's codes for a format, or for a codec in it, that it does not know (SF_ERR_...)."""

Samples = NDArray[np.float32]


class Decoder(Protocol):
    """An open audio file."""

    sample_rate_hz: int
    channels: int
    samples: int | None
    """Per channel, as the header says; None where it does not."""

    def seek(self, sample: int) -> int:
        """Move there, or stay at 0; returns where the next block begins."""
        ...

    def blocks(self) -> Iterator[Samples]:
        """What follows, each [T, channels], T up to BLOCK or what the codec has in a frame."""
        ...

    def is_short(self, samples: int) -> bool:
        """Whether a file that gave so many samples per channel lacks some of what it announced."""
        ...


@contextmanager
def open_decoder(
    audio: Path | bytes, container: Container, samples: int | None
) -> Generator[Decoder]:
    """A decoder of a file of this kind, or of one's contents; `samples` as its check counted them.

    Raises what the libraries raise.
    """
    if container.by_sndfile:
        from soundfile import LibsndfileError, SoundFile

        # By its path: an error while Python reads for libsndfile would look like the file's end.
        try:
            with SoundFile(audio if isinstance(audio, Path) else io.BytesIO(audio)) as opened:
                # libsndfile takes the length 0 of a streamed WAV file at its word, and fails at the
                # end of a streamed FLAC file.
                if opened.seekable() and 0 < opened.frames < SNDFILE_UNKNOWN:
                    yield _Sndfile(opened, samples)
                    return
        except LibsndfileError as error:
            if error.code not in NOT_FOR_SNDFILE:
                raise
    import av
    from av.error import FFmpegError

    try:
        # Not by its path, which FFmpeg would take for an address if it looks like one.
        with (
            open_file(audio) as file,
            av.open(
                file,
                "r",
                format=container.ffmpeg,
                metadata_errors="replace",
                options={"err_detect": "crccheck+bitstream+buffer+explode"},
            ) as opened,
        ):
            yield _Ffmpeg(opened, samples)
    except FFmpegError as error:
        raise ValueError(f"{error.strerror}; it may be cut short") from None


def open_file(audio: Path | bytes) -> BinaryIO:
    """A file, or the contents of one, to be read."""
    return audio.open("rb") if isinstance(audio, Path) else io.BytesIO(audio)


class _Sndfile:
    def __init__(self, file: SoundFile, samples: int | None) -> None:
        self.sample_rate_hz: int = file.samplerate
        self.channels: int = file.channels
        # Of an MP3 file without a header libsndfile only guesses from the size.
        self._is_exact = samples is None
        self.samples: int | None = file.frames if samples is None else samples
        self._file = file

    def seek(self, sample: int) -> int:
        # In Vorbis it may arrive some thousand samples elsewhere.
        return 0 if self._file.format == "OGG" else self._file.seek(sample)

    def blocks(self) -> Iterator[Samples]:
        while True:
            block = np.empty((BLOCK, self.channels), np.float32)
            block = self._file.read(out=block)
            if not len(block):
                return
            yield block

    def is_short(self, samples: int) -> bool:
        return self._is_exact and self.samples is not None and samples < self.samples


class _Ffmpeg:
    def __init__(self, container: InputContainer, samples: int | None) -> None:
        if not container.streams.audio:
            raise ValueError("it has no audio in it")
        self._container = container
        self._stream = container.streams.audio[0]
        self.sample_rate_hz: int = self._stream.codec_context.sample_rate
        self.channels: int = self._stream.codec_context.channels
        self.samples = samples or self._told()

    def _told(self) -> int | None:
        """Samples by the container's duration; FFmpeg guesses that of bare frames, we do not."""
        if self._container.format.name in ("aac", "amr") or not self._container.duration:
            return None
        return round(self._container.duration / 1e6 * self.sample_rate_hz)

    def seek(self, sample: int) -> int:
        return 0

    def blocks(self) -> Iterator[Samples]:
        import av

        to_float = av.AudioResampler(format="flt")
        for packet in self._container.demux(self._stream):
            for frame in packet.decode():
                if frame.sample_rate != self.sample_rate_hz:
                    raise ValueError("its sample rate changes")
                for floats in to_float.resample(frame):
                    block = floats.to_ndarray().astype(np.float32, copy=False)
                    block = block.reshape(-1, floats.layout.nb_channels)
                    if block.shape[1] != self.channels:
                        raise ValueError("its number of channels changes")
                    yield block

    def is_short(self, samples: int) -> bool:
        slack = FFMPEG_SLACK_S * self.sample_rate_hz
        return self.samples is not None and samples + slack < self.samples
