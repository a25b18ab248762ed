"""Recordings in archives: WebDataset's shards (github.com/webdataset/webdataset), and Lhotse Shar.

In a shard `KEY.wav` (or another recording) stands with `KEY.txt` or `KEY.json`; KEY ends at the
first dot of the name. In Shar the texts are in cuts.NNN.jsonl.gz beside recording.NNN.tar, and a
member's name is that of its cut. Archives are read in place; nothing is unpacked.
"""

from __future__ import annotations

import tarfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, cast

from ttsrl.audio.io import SUFFIXES, WHOLE
from ttsrl.data.fields import Keys
from ttsrl.data.layouts.base import Corpus
from ttsrl.data.layouts.lhotse import cut_of, spoken_part
from ttsrl.data.layouts.rows import ROW, RecordingRow, row_of
from ttsrl.errors import BadInput, shorten
from ttsrl.lines.folders import is_file
from ttsrl.lines.json_lines import json_objects, parse_json
from ttsrl.text.languages import language_of

NOT_SEEKABLE = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
"""Archives that can only be read from their beginning."""


@dataclass(frozen=True)
class Member:
    """A recording in an archive, with its text."""

    archive: Path
    name: str
    offset: int
    size: int
    row: RecordingRow
    source: Path
    """The file in which its text stands."""

    def read(self) -> bytes:
        """Its contents. Raises BadInput where the archive is shorter now."""
        with self.archive.open("rb") as file:
            file.seek(self.offset)
            contents = file.read(self.size)
        if len(contents) < self.size:
            raise BadInput(f"{self.archive} ends within {self.name}; copy it again")
        return contents


def archives_in(source: Path) -> list[Path]:
    """The archive, or those of a folder that holds no recordings beside them, in order of names."""
    if source.is_dir():
        corpus = Corpus.at(source)
        archives = [file for file in corpus.others if file.suffix.lower() == ".tar"]
        return [] if corpus.recordings else archives
    if source.name.lower().endswith(NOT_SEEKABLE):
        raise BadInput(
            f"{source} is a compressed archive, and recordings are read in place; decompress it to "
            ".tar, or unpack it"
        )
    return [source] if source.suffix.lower() == ".tar" and source.is_file() else []


def packed_in(folder: Path) -> list[Path]:
    """Archives in a folder that have to be unpacked before anything of them is read."""
    if not folder.is_dir():
        return []
    endings = (*NOT_SEEKABLE, ".zip", ".7z", ".rar")
    return [file for file in Corpus.at(folder).others if file.name.lower().endswith(endings)]


def members_of(archive: Path, columns: Mapping[str, str]) -> Iterator[Member]:
    """Every recording of an archive, in its order. Raises BadInput naming archive and member."""
    cuts = _cuts_of(archive)
    if cuts is not None:
        yield from _shar(archive, cuts)
        return
    keys = Keys(ROW, columns)
    samples: dict[str, list[tarfile.TarInfo]] = defaultdict(list)
    for member in _files(archive):
        folder, _, name = member.name.rpartition("/")
        samples[f"{folder}/{name.partition('.')[0]}".lstrip("/")].append(member)
    for key, members in samples.items():
        recordings = [m for m in members if _is_recording(m)]
        if len(recordings) > 1:
            raise BadInput(
                f"{archive}: {key} has the recordings {recordings[0].name} and "
                f"{recordings[1].name}, and one is read; leave one out"
            )
        for recording in recordings:
            row = _row(archive, key, members, keys)
            yield Member(
                archive, recording.name, recording.offset_data, recording.size, row, archive
            )


def _files(archive: Path) -> list[tarfile.TarInfo]:
    try:
        with tarfile.open(archive, "r:") as tar:
            return [m for m in tar.getmembers() if m.isfile() and not _hidden(m.name)]
    except (tarfile.TarError, EOFError) as error:
        raise BadInput(f"{archive} is no whole tar archive: {error}; copy it again") from None
    except OSError as error:
        raise BadInput(f"{archive} cannot be read: {error.strerror or error}") from None


def _row(archive: Path, key: str, members: Sequence[tarfile.TarInfo], keys: Keys) -> RecordingRow:
    """What the other members of a sample say of its recording."""
    row = RecordingRow(None, None, None, None, None, None, WHOLE)
    said = None
    for member in members:
        place = f"{archive}: {member.name}"
        match PurePosixPath(member.name).suffix.lower():
            case ".json":
                value = parse_json(_text(archive, member), place, "write an object")
                if not isinstance(value, dict):
                    raise BadInput(f"{place}: {shorten(value)} is not a JSON object")
                row = row_of(place, cast("dict[str, Any]", value), keys)
            case ".txt":
                said = " ".join(_text(archive, member).split()) or None
            case _:
                pass
    if said and row.text and row.text.split() != said.split():
        raise BadInput(
            f"{archive}: {key}.txt says {shorten(said)}, and {key}.json {shorten(row.text)}; leave "
            "one out"
        )
    text = said or row.text
    return RecordingRow(
        None, text, row.language, row.speaker, row.id or key, row.duration_s, row.segment
    )


def _text(archive: Path, member: tarfile.TarInfo) -> str:
    with archive.open("rb") as file:
        file.seek(member.offset_data)
        contents = file.read(member.size)
    try:
        return contents.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadInput(f"{archive}: {member.name} is not UTF-8; save it as UTF-8") from None


def _cuts_of(archive: Path) -> Path | None:
    """The cuts of a Shar archive: cuts.000000.jsonl.gz beside recording.000000.tar."""
    if not archive.name.startswith("recording"):
        return None
    name = archive.stem.replace("recording", "cuts", 1)
    each = (archive.with_name(f"{name}.jsonl{ending}") for ending in (".gz", ""))
    return next((file for file in each if is_file(file)), None)


def _shar(archive: Path, cuts: Path) -> Iterator[Member]:
    recordings = {
        str(PurePosixPath(m.name).with_suffix("")): m for m in _files(archive) if _is_recording(m)
    }
    for place, raw in json_objects(cuts, "a cut"):
        cut = cut_of(place, raw)
        member = recordings.get(cut.id)
        if member is None:
            raise BadInput(
                f"{place}: the cut {cut.id!r} has no recording in {archive.name}; write the shards "
                "again"
            )
        try:
            said, part = spoken_part(cut)
        except BadInput as error:
            raise BadInput(f"{place}: the cut {cut.id!r} {error}") from None
        text = said.text.strip() or None if said.text else None
        language = language_of(said.language) if said.language else None
        whole = part.offset_s == 0 and part.duration_s == cut.duration
        row = RecordingRow(
            None, text, language, said.speaker, cut.id, None, WHOLE if whole else part
        )
        yield Member(archive, member.name, member.offset_data, member.size, row, cuts)


def _is_recording(member: tarfile.TarInfo) -> bool:
    return PurePosixPath(member.name).suffix.lower() in SUFFIXES


def _hidden(name: str) -> bool:
    return any(part.startswith(".") and part != "." for part in PurePosixPath(name).parts)
