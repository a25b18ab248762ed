"""What an audio file says about itself before it is decoded: its kind, and whether it is whole.

A transfer that broke off leaves a file that decoders read to its new end without a word, and then
half of the speech has the whole transcript. What tells it:

- WAV, RF64, W64, AIFF, CAF, AU, NIST SPHERE: the length of the samples in the header. What a
  program wrote into a pipe has no true length there (0 or the largest), and is taken as whole.
- FLAC: the number of samples in STREAMINFO, where it is known, and a checksum per frame; the
  decoder looks at both.
- Ogg (Vorbis, Opus): a checksum per page, and an end page of each stream.
- MP3: the number of frames in the Xing, Info or VBRI header, where there is one; without one, a
  last frame that is not complete. Without header, a file that ends between frames looks whole.
- MP4 and M4A: the tables at the end or the beginning; FFmpeg reports what lies outside the file.
- WebM, Matroska: the length of the segment; a live recording has none, and any length is whole.
- ADTS (.aac), AMR: a last frame that is not complete, and nothing else.

Damage inside of samples without a checksum (WAV, MP3, AAC) cannot be seen.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from ttsrl.errors import BadInput

KINDS = "give WAV, FLAC, Ogg, MP3, M4A, AAC or WebM"

PLACEHOLDER_BYTES = 0x7FFF0000
"""Lengths from here on stand for "until the end": sox writes 0x7FFFF000, arecord 2**31, FFmpeg and
most others 2**32 - 1."""
HEADER_BYTES = 44
"""Some programs count the header of a WAV file among its samples."""

ID3_HEADER_BYTES = 10
PADDING_BYTES = 1 << 16
PAGE_HEADER_BYTES = 27
LAST_PAGE, FIRST_PAGE = 4, 2


@dataclass(frozen=True)
class Container:
    """One kind of audio file."""

    name: str
    ffmpeg: str
    """FFmpeg's name of it: its own guess would follow playlists and the like."""
    by_sndfile: bool
    """Whether libsndfile decodes it; FFmpeg does what it does not."""
    check: Callable[[BinaryIO, int], int | None]
    """(file, bytes of it) -> samples per channel where it knows better than the decoder.

    Raises BadInput for a file that is cut short or damaged.
    """


def container_of(file: BinaryIO) -> Container:
    """The kind of file, by its first bytes alone. Raises BadInput for what is not audio."""
    file.seek(_after_id3(file))
    head = file.read(16)
    if not head:
        raise not_audio("it is empty")
    for container, begins in _CONTAINERS:
        if begins(head):
            return container
    raise not_audio(f"it begins with {head[:8]!r}")


def not_audio(reason: str) -> BadInput:
    """The refusal of a file that no decoder takes."""
    return BadInput(f"the file is not audio, or is damaged: {reason}; {KINDS}")


def cut_short(is_there: int, told: int, what: str = "bytes of samples") -> BadInput:
    """The refusal of a file that ends before its own end."""
    return BadInput(
        f"the audio is cut short: {is_there} of {told} {what}; copy it again, or leave it out"
    )


def _riff(file: BinaryIO, size: int) -> int | None:
    """WAV and its 64-bit relatives (EBU Tech 3306)."""
    file.seek(0)
    wide = file.read(4) in (b"RF64", b"BW64")
    told_64: int | None = None
    for name, begin, length in _chunks(file, 12, size, "<I"):
        if name == b"ds64":
            told_64 = struct.unpack("<Q", file.read(16)[8:].ljust(8, b"\0"))[0]
        if name == b"data":
            told = told_64 if wide and told_64 is not None else length
            _check_samples(file, begin, told, size)
            return None
    raise not_audio("its header names no samples (data)")


def _check_samples(file: BinaryIO, begin: int, told: int, size: int) -> None:
    there = size - begin
    if told - there > HEADER_BYTES and not is_placeholder(told):
        raise cut_short(there, told)


def is_placeholder(told: int) -> bool:
    """Whether a length of samples in a header is a placeholder for one not known."""
    return told == 0 or PLACEHOLDER_BYTES <= told < 2**32 or told >= 2**62


def _rifx(file: BinaryIO, size: int) -> int | None:
    for name, begin, length in _chunks(file, 12, size, ">I"):
        if name == b"data":
            _check_samples(file, begin, length, size)
    return None


def _w64(file: BinaryIO, size: int) -> int | None:
    at = 40
    while at + 24 <= size:
        file.seek(at)
        head = file.read(24)
        length = int.from_bytes(head[16:], "little")
        if head[:4] == b"data":
            _check_samples(file, at, length, size)
            return None
        at += max(24, length + (-length % 8))
    raise not_audio("its header names no samples (data)")


def _aiff(file: BinaryIO, size: int) -> int | None:
    for name, begin, length in _chunks(file, 12, size, ">I"):
        if name == b"SSND":
            _check_samples(file, begin, length, size)
            return None
    raise not_audio("its header names no samples (SSND)")


def _caf(file: BinaryIO, size: int) -> int | None:
    for name, begin, length in _chunks(file, 8, size, ">q"):
        if name == b"data":
            if length >= 0:  # -1: until the end
                _check_samples(file, begin, length, size)
            return None
    raise not_audio("its header names no samples (data)")


def _chunks(file: BinaryIO, at: int, size: int, form: str) -> Iterator[tuple[bytes, int, int]]:
    """(name, where its content begins, length) of each chunk, the file standing at the content."""
    width = 4 + struct.calcsize(form)
    padded = form[-1] == "I"
    while at + width <= size:
        file.seek(at)
        head = file.read(width)
        (length,) = struct.unpack(form, head[4:])
        yield head[:4], at + width, length
        at += width + max(0, length) + (length % 2 if padded else 0)


def _au(file: BinaryIO, size: int) -> int | None:
    file.seek(0)
    big = file.read(4) == b".snd"
    begin, told = struct.unpack(">II" if big else "<II", file.read(8).ljust(8, b"\0"))
    _check_samples(file, begin, told, size)
    return None


def _nist(file: BinaryIO, size: int) -> int | None:
    """NIST SPHERE: `sample_count -i 47840` and the like, in lines."""
    file.seek(0)
    lines = file.read(1024).split(b"\n")
    fields = {f[0]: f[2] for f in (line.split(maxsplit=2) for line in lines) if len(f) == 3}
    try:
        begin = int(lines[1])
        width = int(fields.get(b"sample_n_bytes", b"2")) * int(fields.get(b"channel_count", b"1"))
        told = int(fields[b"sample_count"]) * width
    except (KeyError, ValueError, IndexError):
        raise not_audio("its header names no samples (sample_count)") from None
    if b"shorten" not in fields.get(b"sample_coding", b""):
        _check_samples(file, begin, told, size)
    return None


def _ogg(file: BinaryIO, size: int) -> int | None:
    """Every page with its checksum, and an end page for each stream (RFC 3533)."""
    at, begun, ended = 0, set[bytes](), set[bytes]()
    while at < size:
        file.seek(at)
        head = file.read(PAGE_HEADER_BYTES)
        lacing = file.read(head[26]) if len(head) == PAGE_HEADER_BYTES else b""
        if head[:4] != b"OggS":
            break  # what follows the last page, such as a tag
        length = len(head) + len(lacing) + sum(lacing)
        if len(head) < PAGE_HEADER_BYTES or len(lacing) < head[26] or at + length > size:
            raise cut_short(size, at + length, "bytes, in the last page")
        page = head[:22] + bytes(4) + head[26:] + lacing + file.read(sum(lacing))
        if _ogg_checksum(page) != head[22:26]:
            raise not_audio(f"the page at byte {at} has another checksum")
        serial = head[14:18]
        begun |= {serial} if head[5] & FIRST_PAGE else set()
        ended |= {serial} if head[5] & LAST_PAGE else set()
        at += length
    if begun - ended:
        raise BadInput(
            "the audio is cut short: its Ogg stream has no end page; copy it again, or leave it out"
        )
    return None


_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def _ogg_checksum(page: bytes) -> bytes:
    """Ogg's CRC-32, the bits of which come in the other order than zlib's; begins with 0."""
    crc = zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return crc.to_bytes(4, "big").translate(_REVERSED)


def _matroska(file: BinaryIO, size: int) -> int | None:
    """The length of the segment that holds everything; a live one has none (RFC 8794)."""
    at = 0
    for name_bytes in (4, 4):  # the EBML header, the segment
        file.seek(at + name_bytes)
        first = file.read(1)
        width = 9 - (first or b"\0")[0].bit_length()
        if width > 8:
            raise not_audio("its WebM header is broken")
        length = int.from_bytes(first + file.read(width - 1), "big") & (1 << 7 * width) - 1
        begin, unknown = at + name_bytes + width, (1 << 7 * width) - 1
        at = begin + length
    if length != unknown and at > size:
        raise cut_short(size - begin, length, "bytes")
    return None


def _mp3(file: BinaryIO, size: int) -> int | None:
    from ttsrl.audio.mp3 import check_mp3

    return check_mp3(file, _after_id3(file), size)


def _unchecked(file: BinaryIO, size: int) -> int | None:
    """Its decoder reports what is missing."""
    return None


def _after_id3(file: BinaryIO) -> int:
    """Where a file begins after its ID3v2 tags and the zeros that some programs put there.

    The length of a tag has 7 bits per byte.
    """
    at = 0
    while True:
        file.seek(at)
        head = file.read(ID3_HEADER_BYTES)
        if head[:3] != b"ID3" or len(head) < ID3_HEADER_BYTES:
            break
        length = sum(
            (byte & 0x7F) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True)
        )
        at += ID3_HEADER_BYTES + length + (ID3_HEADER_BYTES if head[5] & 0x10 else 0)
    if at == 0:
        return 0
    file.seek(at)
    zeros = file.read(PADDING_BYTES)
    return at + len(zeros) - len(zeros.lstrip(b"\0"))


def _begins(*magic: bytes, at: int = 0) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(magic, at)


def _is_form(outer: tuple[bytes, ...], *inner: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(outer) and head[8:12] in inner


_W64_MAGIC = b"riff\x2e\x91\xcf\x11"
_MP4_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
_CONTAINERS: tuple[tuple[Container, Callable[[bytes], bool]], ...] = (
    (Container("WAV", "wav", True, _riff), _is_form((b"RIFF", b"RF64", b"BW64"), b"WAVE")),
    (Container("WAV", "wav", True, _rifx), _is_form((b"RIFX",), b"WAVE")),
    (Container("W64", "w64", True, _w64), _begins(_W64_MAGIC)),
    (Container("AIFF", "aiff", True, _aiff), _is_form((b"FORM",), b"AIFF", b"AIFC")),
    (Container("CAF", "caf", True, _caf), _begins(b"caff")),
    (Container("AU", "au", True, _au), _begins(b".snd", b"dns.")),
    (Container("NIST SPHERE", "nistsphere", True, _nist), _begins(b"NIST_1A")),
    (Container("FLAC", "flac", True, _unchecked), _begins(b"fLaC")),
    (Container("Ogg", "ogg", True, _ogg), _begins(b"OggS")),
    (Container("MP4", "mp4", False, _unchecked), _begins(*_MP4_BOXES, at=4)),
    (Container("WebM", "matroska", False, _matroska), _begins(b"\x1aE\xdf\xa3")),
    (Container("AMR", "amr", False, _unchecked), _begins(b"#!AMR")),
    (
        Container("AAC", "aac", False, _unchecked),
        lambda head: len(head) > 1 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0,
    ),
    (
        Container("MP3", "mp3", True, _mp3),
        lambda head: len(head) > 1 and head[0] == 0xFF and head[1] & 0xE6 in (0xE2, 0xE4),
    ),
)
"""Each kind with what its first bytes look like; ADTS and MP3 differ in the two layer bits."""
