"""What a layout is: it finds the recordings of a corpus, and what is said in them."""

from __future__ import annotations

import bisect
import posixpath
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from typing import Protocol

from ttsrl.audio.io import SUFFIXES, WHOLE, Segment
from ttsrl.data.layouts.rows import RecordingRow
from ttsrl.errors import BadInput, shorten
from ttsrl.lines.folders import is_file, visible_files


@dataclass(frozen=True)
class Listed:
    """A recording, or a part of one, that a corpus lists."""

    file: Path
    source: Path
    """The file in which its text stands."""
    text: str | None
    id: str | None = None
    """None: the file's path in the corpus."""
    language: str | None = None
    speaker: str | None = None
    segment: Segment = WHOLE
    duration_s: float | None = None
    """What the corpus says that the whole file lasts."""
    place: str | None = None
    """Where it is listed, if that is a line of its own."""


@dataclass(frozen=True)
class Listing:
    """What one layout finds in a corpus."""

    layout: str
    listed: list[Listed]
    read: frozenset[Path]
    """Files that it has read, or knows to hold nothing more."""
    whole: frozenset[Path] = frozenset()
    """Folders of which it lists all that is part of the corpus."""
    notes: tuple[str, ...] = ()
    """What a user should know before hours of work."""


class Layout(Protocol):
    """One way to lay out a corpus."""

    name: str

    def find(self, corpus: Corpus, columns: Mapping[str, str]) -> Listing | None:
        """What is there in this layout, or None.

        `columns`: names that the user gave to fields. Raises BadInput for a file of this layout
        that cannot be read, or of which no line names a recording.
        """
        ...


@dataclass(frozen=True)
class Corpus:
    """A folder with recordings."""

    folder: Path
    files: list[Path] = field(repr=False)
    """All of them, hidden ones left out, in the order of their paths."""

    @classmethod
    def at(cls, folder: Path) -> Corpus:
        """Look into a folder."""
        return cls(folder, visible_files(folder))

    @cached_property
    def known(self) -> frozenset[Path]:
        """All files, to be asked for one."""
        return frozenset(self.files)

    @cached_property
    def recordings(self) -> list[Path]:
        """The audio files."""
        return [file for file in self.files if is_recording(file)]

    @cached_property
    def others(self) -> list[Path]:
        """All other files."""
        return [file for file in self.files if not is_recording(file)]

    def named(self, *names: str) -> list[Path]:
        """Files of these names, anywhere in the corpus; .gz may follow."""
        return [file for file in self.others if file.name.removesuffix(".gz") in names]

    def below(self, folder: Path) -> RecordingsByName:
        """The recordings in a folder of the corpus, to be looked up as a file there names them."""
        first = bisect.bisect_left(self.recordings, folder)
        inside = takewhile(lambda file: file.is_relative_to(folder), self.recordings[first:])
        return RecordingsByName(folder, inside)


class RecordingsByName:
    """Recordings in a folder, by what its metadata calls them."""

    def __init__(self, folder: Path, recordings: Iterable[Path]) -> None:
        self.folder = folder
        self._by_path: dict[str, Path] = {}
        self._by_name: dict[str, list[Path]] = defaultdict(list)
        for file in recordings:
            relative = file.relative_to(folder)
            self._by_path[_composed(relative.as_posix())] = file
            for name in {relative.with_suffix("").as_posix(), file.name, file.stem}:
                self._by_name[_composed(name)].append(file)

    def find(self, name: str, place: str) -> Path | None:
        """The recording of that path, path without ending, file name, or name without ending.

        Raises BadInput where several have the name.
        """
        plain = _composed(posixpath.normpath(name))
        if Path(name).is_absolute():
            return Path(name) if is_file(Path(name)) else None
        if (file := self._by_path.get(plain)) is not None:
            return file
        found = self._by_name.get(plain, [])
        if len(found) > 1:
            names = " and ".join(sorted(str(f.relative_to(self.folder)) for f in found)[:2])
            raise BadInput(
                f"{place}: {name!r} may be {names}; give the path from {self.folder}, or remove "
                "one of them"
            )
        return found[0] if found else None


class Matching:
    """Collects what lines of one file say of recordings, and refuses a file of which none does."""

    def __init__(self, source: Path, recordings: RecordingsByName) -> None:
        self.source = source
        self.listed: list[Listed] = []
        self._recordings = recordings
        self._missing: list[str] = []

    def add(
        self,
        place: str,
        name: str,
        text: str | None,
        *,
        language: str | None = None,
        speaker: str | None = None,
    ) -> None:
        """A line: the name of a recording and what is said in it."""
        self.add_row(place, RecordingRow(name, text, language, speaker, None, None, WHOLE))

    def add_row(self, place: str, row: RecordingRow) -> None:
        """A row of named fields. Raises BadInput for one that names no recording."""
        if row.audio is None:
            raise BadInput(
                f"{place}: {shorten(row.text or '')} names no recording; give each row a file_name "
                "and a text"
            )
        file = self._recordings.find(row.audio, place)
        if file is None:
            self._missing.append(row.audio)
            return
        said = " ".join(row.text.split()) if row.text else None
        whole_s = row.duration_s if row.segment == WHOLE else None
        self.listed.append(
            Listed(
                file,
                self.source,
                said or None,
                row.id,
                row.language,
                row.speaker,
                row.segment,
                whole_s,
            )
        )

    def done(self) -> tuple[str, ...]:
        """What to say of lines that did not match. Raises BadInput if none did."""
        if not self._missing:
            return () if self.listed else (f"{self.source} has no line that names a recording",)
        named = f"the first is {shorten(self._missing[0])}"
        if not self.listed:
            raise BadInput(
                f"{self.source}: none of its {len(self._missing)} lines names a recording in "
                f"{self._recordings.folder}; {named}; correct the paths, which are from that "
                "folder, or move the file out of the corpus"
            )
        return (f"{self.source}: {len(self._missing)} lines name no recording; {named}",)


def is_recording(file: Path) -> bool:
    """Whether a file's name is that of a recording."""
    return file.suffix.lower() in SUFFIXES


def _composed(name: str) -> str:
    """macOS writes accents of file names apart from their letters, and texts do not."""
    return unicodedata.normalize("NFC", name)
