"""Lhotse's cuts (lhotse.readthedocs.io/en/latest/cuts.html): one part of a recording a line.

`start` and `duration` are the cut's in its recording; a supervision's are within the cut.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from ttsrl.audio.io import Segment
from ttsrl.data.layouts.base import Listed
from ttsrl.errors import BadInput
from ttsrl.text.languages import language_of

SLACK_S = 0.1
"""A supervision may end so much later than its cut: both are rounded."""


class Source(BaseModel):
    """Where the samples of a recording are."""

    type: str
    source: str
    channels: list[int] = [0]


class CutRecording(BaseModel):
    """A recording that cuts are parts of."""

    id: str
    sources: list[Source]
    transforms: list[Any] | None = None


class Supervision(BaseModel):
    """What is said in a part of a cut."""

    start: float
    duration: float
    text: str | None = None
    language: str | None = None
    speaker: str | None = None


class MonoCut(BaseModel):
    """A part of one channel of a recording."""

    id: str
    start: float
    duration: float
    supervisions: list[Supervision] = []
    recording: CutRecording


def is_cut(raw: Mapping[str, Any]) -> bool:
    """Whether a row is a cut of whatever kind."""
    return str(raw.get("type", "")).endswith("Cut") or {"supervisions", "recording"} <= set(raw)


def listed_cut(file: Path, place: str, raw: Mapping[str, Any]) -> Listed:
    """The part of a recording that a cut is, with its text. Raises BadInput naming `place`."""
    cut = cut_of(place, raw)
    try:
        return _listed(file, place, cut)
    except BadInput as error:
        raise BadInput(f"{place}: the cut {cut.id!r} {error}") from None


def cut_of(place: str, raw: Mapping[str, Any]) -> MonoCut:
    """A line of cuts. Raises BadInput naming `place`."""
    kind = raw.get("type", "MonoCut")
    if kind != "MonoCut":
        raise BadInput(
            f"{place}: a {kind} is not one recording's part, and only MonoCut is read; save what "
            "it sounds like (CutSet.save_audios), and give those cuts"
        )
    try:
        return MonoCut.model_validate(raw)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        raise BadInput(f"{place}: {where}: {problem['msg']}; write cuts with Lhotse") from None


def source_of(recording: CutRecording) -> str:
    """The path of a recording. Raises BadInput for one that is not a file of one channel."""
    kinds = [source.type for source in recording.sources]
    if kinds == ["shar"]:
        raise BadInput(
            "has its recording in an archive beside it (Lhotse Shar); give the folder, or its "
            "recording.*.tar"
        )
    if kinds != ["file"]:
        raise BadInput(
            f"has its recording as {', '.join(kinds) or 'nothing'}, and only one file is read; "
            "save the recordings (CutSet.save_audios), and give those cuts"
        )
    (source,) = recording.sources
    if len(source.channels) > 1:
        raise BadInput(
            f"is one of the {len(source.channels)} channels of {source.source}, and channels are "
            "not taken apart; write a file for each"
        )
    if recording.transforms:
        raise BadInput("changes its recording (transforms); save what it sounds like")
    return source.source


def spoken_part(cut: MonoCut) -> tuple[Supervision, Segment]:
    """What is said in a cut, and where in it. Raises BadInput unless that is one text."""
    if len(cut.supervisions) > 1:
        raise BadInput(
            f"has {len(cut.supervisions)} supervisions, and one text is read; divide it "
            "(CutSet.trim_to_supervisions)"
        )
    said = cut.supervisions[0] if cut.supervisions else Supervision(start=0, duration=cut.duration)
    if said.start < -SLACK_S or said.start + said.duration > cut.duration + SLACK_S:
        raise BadInput(
            "ends before its supervision does, so that it does not hold the whole text; choose "
            "cuts that hold it"
        )
    begin_s = max(0.0, said.start)
    return said, Segment(begin_s, min(said.start + said.duration, cut.duration) - begin_s)


def _listed(file: Path, place: str, cut: MonoCut) -> Listed:
    source = source_of(cut.recording)
    said, part = spoken_part(cut)
    return Listed(
        file.parent / source,
        file,
        said.text.strip() or None if said.text else None,
        cut.id,
        language_of(said.language) if said.language else None,
        said.speaker,
        Segment(cut.start + part.offset_s, part.duration_s),
        place=place,
    )
