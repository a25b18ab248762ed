"""The worked examples of a page: the files it adds, the lines it changes, the programs it runs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"`([\w./-]+)`, .*:")
"""The line before a block that is a file, or a change of one."""


@dataclass(frozen=True)
class FileBlock:
    """A block that belongs into a file."""

    path: str
    language: str
    text: str


@dataclass(frozen=True)
class Program:
    """A program, and what the page says that it prints."""

    title: str
    """Heading of its section."""
    code: str
    printed: str


def files_of(page: str) -> list[FileBlock]:
    """New files, and diffs of files that exist, in their order."""
    found: list[FileBlock] = []
    for block in BLOCK.finditer(page):
        before = page[: block.start()].rstrip().rpartition("\n")[2]
        if named := FILE.fullmatch(before):
            found.append(FileBlock(named[1], block[1], block[2]))
    return found


def programs_of(page: str) -> list[Program]:
    """One per section that has a block of `text`."""
    programs: list[Program] = []
    for section in re.split(r"^## ", page, flags=re.MULTILINE)[1:]:
        blocks = [(match[1], match[2]) for match in BLOCK.finditer(section)]
        for (language, code), (other, printed) in pairwise(blocks):
            if (language, other) == ("python", "text"):
                programs.append(Program(section.partition("\n")[0], code, printed))
    return programs


def apply(block: FileBlock, root: Path) -> None:
    """Write a new file, or change one as the diff says; AssertionError where it does not fit."""
    file = root / block.path
    if block.language != "diff":
        assert not file.exists(), f"{block.path} is there already"
        file.write_text(block.text)
        return
    for hunk in re.split(r"^@@.*\n", block.text, flags=re.MULTILINE):
        lines = hunk.splitlines(keepends=True)
        old = "".join(line[1:] for line in lines if line[0] in " -")
        new = "".join(line[1:] for line in lines if line[0] in " +")
        content = file.read_text()
        assert content.count(old) == 1, f"{block.path} has no such lines, or has them twice:\n{old}"
        file.write_text(content.replace(old, new))
