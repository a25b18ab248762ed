"""The frames of an MP3 file, counted without decoding them (ISO/IEC 11172-3, 13818-3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

from ttsrl.errors import BadInput

_KBIT = {
    # (MPEG-1, layer) -> kbit/s by index; 0 is "free format", whose frames nothing measures
    (True, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_HZ = (44_100, 48_000, 32_000)
_XING_SEARCH_BYTES = 256
SLACK_FRAMES = 1
"""Some encoders count the frame of the header itself."""


@dataclass(frozen=True)
class _Frame:
    size: int
    """Bytes."""
    samples: int


def check_mp3(file: BinaryIO, begin: int, size: int) -> int | None:
    """Samples per channel of a file without a header that tells them; else None.

    `begin` is where the first frame stands, `size` where the file ends. Raises BadInput for a file
    with fewer frames than its header says, or with a part of a frame at its end.
    """
    told = _frames_told(file, begin)
    at, frames, samples = begin, 0, 0
    while (frame := _frame(file, at)) is not None:
        if at + frame.size > size:
            raise _cut(f"{size - at} of {frame.size} bytes in the last frame")
        at, frames, samples = at + frame.size, frames + 1, samples + frame.samples
    if told is not None and frames + SLACK_FRAMES < told:
        raise _cut(f"{frames} of {told} frames")
    if not frames:
        raise BadInput("the audio is damaged: no MP3 frame where the first should be")
    return samples if told is None else None


def _cut(what: str) -> BadInput:
    return BadInput(f"the audio is cut short: {what}; copy it again, or leave it out")


def _frame(file: BinaryIO, at: int) -> _Frame | None:
    """The frame that stands there; None where none does, or where its length is not told."""
    file.seek(at)
    head = int.from_bytes(file.read(4), "big")
    version, layer_bits = head >> 19 & 3, head >> 17 & 3
    bitrate, rate, padding = head >> 12 & 15, head >> 10 & 3, head >> 9 & 1
    if head >> 21 != 0x7FF or version == 1 or layer_bits == 0 or rate == 3 or bitrate in (0, 15):
        return None
    layer, mpeg_1 = 4 - layer_bits, version == 3
    hz = _HZ[rate] >> (3 - version if version else 2)
    bit_s = 1000 * _KBIT[mpeg_1, layer][bitrate]
    if layer == 1:
        return _Frame((12 * bit_s // hz + padding) * 4, 384)
    samples = 576 if layer == 3 and not mpeg_1 else 1152
    return _Frame(samples // 8 * bit_s // hz + padding, samples)


def _frames_told(file: BinaryIO, begin: int) -> int | None:
    """Frames by the header in the first frame, if there is one (Xing, Info: LAME's; VBRI)."""
    file.seek(begin)
    head = file.read(_XING_SEARCH_BYTES)
    for name in (b"Xing", b"Info"):
        at = head.find(name)
        if at >= 0 and len(head) >= at + 12 and head[at + 7] & 1:
            return int.from_bytes(head[at + 8 : at + 12], "big")
    at = head.find(b"VBRI")
    return int.from_bytes(head[at + 14 : at + 18], "big") if at >= 0 else None
