"""Ways in which files come to harm: transfers, editors, disks, other programs, people."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

MOST = 3
"""Changes in one case."""
PIECES = (
    b"\0", b"\r", b"\r\n", b"\n\n", b"\xef\xbb\xbf", b"\xff\xfe", b"\xe2\x80\xa8", b"\xc2\x85",
    b"\x1e", b"\xf0\x9f\x98\x80", b"\xed\xa0\x80", b'"', b"'", b"\\", b"|", b"||", b"\t", b",",
    b"[" * 100_000, b'{"a":' * 2_000, b"NaN", b"-Infinity", b"1e999", b"9" * 5_000, b"-1", b"null",
    b"true", b"{}", b"[]", b'\\ud800', b"../../", b"/etc/passwd", b"~", b"a" * 70_000, b"<html>",
    b"<speak>", b"[laughter]", b"\xe0\xae\x95", b"\xd8\xb3\xd9\x84", b" ", b"PAR1", b"RIFF",
    b"fLaC", b"OggS", b"ID3\x04\0\0\x7f\x7f\x7f\x7f", b"data\xff\xff\xff\xff", b"data\0\0\0\0",
)  # fmt: skip

Change = Callable[[random.Random, bytes], bytes]


def damage(draw: random.Random, folder: Path) -> list[str]:
    """Change one to three of the files below a folder; returns what was done to which."""
    done: list[str] = []
    for _ in range(draw.choice([1, 1, 2, MOST])):
        files = sorted(p for p in folder.rglob("*") if p.is_file() and not p.is_symlink())
        if not files:
            break
        # Tables and lists are few beside recordings, and each of their bytes means more.
        small = [f for f in files if f.stat().st_size < 20_000]
        file = draw.choice(small if small and draw.random() < 0.5 else files)
        change = draw.choice(CHANGES if draw.random() < 0.85 else PLACES)
        change(draw, file)
        done.append(f"{change.__name__} {file.relative_to(folder)}")
    return done


def _content(change: Change) -> Callable[[random.Random, Path], None]:
    def on_file(draw: random.Random, file: Path) -> None:
        file.write_bytes(change(draw, file.read_bytes()))

    on_file.__name__ = change.__name__
    return on_file


def _at(draw: random.Random, data: bytes) -> int:
    """A place; often in the first bytes, where headers are."""
    limit = 64 if draw.random() < 0.4 else len(data)
    return draw.randrange(max(1, min(limit, len(data))))


def flip_bits(draw: random.Random, data: bytes) -> bytes:
    """A disk that forgets."""
    changed = bytearray(data)
    for _ in range(draw.choice([1, 1, 5, 50])):
        if changed:
            changed[_at(draw, data)] ^= 1 << draw.randrange(8)
    return bytes(changed)


def cut_off(draw: random.Random, data: bytes) -> bytes:
    """A transfer that broke off."""
    return data[: _at(draw, data)]


def cut_out(draw: random.Random, data: bytes) -> bytes:
    """A part is missing."""
    begin = _at(draw, data)
    return data[:begin] + data[begin + draw.choice([1, 7, 300, 5_000]) :]


def repeat(draw: random.Random, data: bytes) -> bytes:
    """A part stands there twice."""
    begin = _at(draw, data)
    return data[: begin + draw.choice([1, 30, 3_000])] + data[begin:]


def zeros(draw: random.Random, data: bytes) -> bytes:
    """A part that was never written."""
    begin, size = _at(draw, data), draw.choice([1, 4, 512, 4_096])
    return data[:begin] + bytes(min(size, len(data) - begin)) + data[begin + size :]


def insert(draw: random.Random, data: bytes) -> bytes:
    """Something that does not belong there."""
    begin = _at(draw, data)
    return data[:begin] + draw.choice(PIECES) + data[begin:]


def write_over(draw: random.Random, data: bytes) -> bytes:
    """Something else in the place of what was there."""
    begin, piece = _at(draw, data), draw.choice(PIECES)
    return data[:begin] + piece + data[begin + len(piece) :]


def lines_moved(draw: random.Random, data: bytes) -> bytes:
    """Lines are missing, doubled or in another order."""
    lines = data.split(b"\n")
    match draw.randrange(3):
        case 0:
            draw.shuffle(lines)
        case 1:
            del lines[draw.randrange(len(lines))]
        case _:
            lines.insert(0, draw.choice(lines))
    return b"\n".join(lines)


def other_encoding(draw: random.Random, data: bytes) -> bytes:
    """Saved by a program with another idea of text."""
    text = data.decode("utf-8", errors="replace")
    return text.encode(draw.choice(["utf-16", "utf-32-be", "latin-1", "gb18030"]), "replace")


def a_value(draw: random.Random, data: bytes) -> bytes:
    """A value of JSON or a field of a table is another one."""
    parts = data.split(b'"')
    if len(parts) > 2:
        parts[draw.randrange(1, len(parts))] = draw.choice(PIECES)
        return b'"'.join(parts)
    return write_over(draw, data)


def emptied(draw: random.Random, data: bytes) -> bytes:
    """A file of no bytes."""
    return b""


def renamed(draw: random.Random, file: Path) -> None:
    """An unexpected name."""
    names = ["with space", "a'b", 'q"', "$(x)", "-n", "é", "文", "%20", "x" * 200, "a\nb", "#", "*"]
    suffix = draw.choice([file.suffix, file.suffix.upper(), ".wav", ".mp3", ".txt", ".json", ""])
    target = file.with_name(draw.choice([*names, file.stem]) + suffix)
    if not target.exists():
        file.rename(target)


def removed(draw: random.Random, file: Path) -> None:
    """A file that others name."""
    file.unlink()


def a_folder(draw: random.Random, file: Path) -> None:
    """A folder where a file should be."""
    file.unlink()
    file.mkdir()


def a_dangling_link(draw: random.Random, file: Path) -> None:
    """A link to nothing, or to itself."""
    file.unlink()
    file.symlink_to(draw.choice(["nowhere", file.name]))


def another_file(draw: random.Random, file: Path) -> None:
    """The content of a neighbour."""
    others = [p for p in sorted(file.parent.iterdir()) if p.is_file()]
    file.write_bytes(draw.choice(others).read_bytes())


CHANGES = [
    _content(change)
    for change in (
        flip_bits, cut_off, cut_out, repeat, zeros, insert, write_over, lines_moved, other_encoding,
        a_value, emptied,
    )
]  # fmt: skip
PLACES = [renamed, removed, a_folder, a_dangling_link, another_file]
