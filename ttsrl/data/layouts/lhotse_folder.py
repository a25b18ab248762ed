"""Lhotse's manifests in a folder (lhotse.readthedocs.io/en/latest/corpus.html).

`NAME_recordings_PART.jsonl.gz` beside `NAME_supervisions_PART.jsonl.gz`, as its recipes write them,
or `cuts.jsonl.gz`. Paths of recordings are absolute, or from the manifest's folder.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from ttsrl.audio.io import Segment
from ttsrl.data.layouts.base import Corpus, Listed, Listing
from ttsrl.data.layouts.lhotse import CutRecording, is_cut, listed_cut, source_of
from ttsrl.errors import BadInput
from ttsrl.lines.folders import is_file
from ttsrl.lines.json_lines import json_objects
from ttsrl.text.languages import language_of

RECORDINGS = re.compile(r"(.*[_-])?recordings([_-].*)?\.jsonl(\.gz)?")
CUTS = re.compile(r"(.*[_-])?cuts([_.-].*)?\.jsonl(\.gz)?")
EXAMPLE = '{"id": "...", "recording_id": "...", "start": 0.0, "duration": 1.0, "text": "..."}'


class RecordedSupervision(BaseModel):
    """A line of a supervisions manifest: what is said in a part of a recording."""

    id: str
    recording_id: str
    start: float
    duration: float
    channel: int | list[int] = 0
    text: str | None = None
    language: str | None = None
    speaker: str | None = None


Checked = TypeVar("Checked", bound=BaseModel)


class Lhotse:
    """See above."""

    name = "lhotse"

    def find(self, corpus: Corpus, columns: Mapping[str, str]) -> Listing | None:
        """See `Layout.find`."""
        listed: list[Listed] = []
        read: set[Path] = set()
        for file in corpus.others:
            supervisions = _beside(file)
            if supervisions is not None and supervisions in corpus.known:
                listed += _supervised(file, supervisions)
                read |= {file, supervisions}
            elif CUTS.fullmatch(file.name) and not _is_shar(file):
                listed += [
                    listed_cut(file, place, raw)
                    for place, raw in json_objects(file, "a cut")
                    if is_cut(raw)
                ]
                read.add(file)
        if not read:
            return None
        if listed and not any(is_file(item.file) for item in listed):
            raise BadInput(
                f"{listed[0].source}: none of the {len(listed)} recordings is there; the first is "
                f"{listed[0].file}; correct the paths, which are from {listed[0].source.parent}"
            )
        return Listing(self.name, listed, frozenset(read))


def _beside(file: Path) -> Path | None:
    """The supervisions that belong to a manifest of recordings; None for another file."""
    if not RECORDINGS.fullmatch(file.name):
        return None
    first, found, last = file.name.rpartition("recordings")
    return file.with_name(f"{first}{found.replace('recordings', 'supervisions')}{last}")


def _is_shar(cuts: Path) -> bool:
    """Whether the recordings of cuts are in an archive beside them (`ttsrl.data.tars`)."""
    return (
        (cuts.parent / cuts.name.replace("cuts", "recording", 1).split(".jsonl")[0])
        .with_suffix(".tar")
        .is_file()
    )


def _supervised(recordings: Path, supervisions: Path) -> list[Listed]:
    files: dict[str, Path] = {}
    for place, raw in json_objects(recordings, '{"id": "...", "sources": [...]}'):
        recording = _checked(CutRecording, place, raw)
        try:
            files[recording.id] = recordings.parent / source_of(recording)
        except BadInput as error:
            raise BadInput(f"{place}: the recording {recording.id!r} {error}") from None
    listed: list[Listed] = []
    for place, raw in json_objects(supervisions, EXAMPLE):
        said = _checked(RecordedSupervision, place, raw)
        if said.recording_id not in files:
            raise BadInput(
                f"{place}: {said.id!r} is of the recording {said.recording_id!r}, which is not in "
                f"{recordings.name}; add it there, or leave the line out"
            )
        listed.append(
            Listed(
                files[said.recording_id],
                supervisions,
                said.text.strip() or None if said.text else None,
                said.id,
                language_of(said.language) if said.language else None,
                said.speaker,
                Segment(max(0.0, said.start), said.duration),
                place=place,
            )
        )
    return listed


def _checked(model: type[Checked], place: str, raw: Mapping[str, Any]) -> Checked:
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        raise BadInput(f"{place}: {where}: {problem['msg']}; write it with Lhotse") from None
