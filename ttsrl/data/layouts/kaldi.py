"""Kaldi's data folders (kaldi-asr.org/doc/data_prep.html): wav.scp, text, segments, utt2spk.

A line is a name and its value. segments: utterance, recording, begin and end in seconds; an end of
-1 is that of the recording. Paths are absolute, or from the folder of wav.scp on.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from pathlib import Path

from ttsrl.audio.io import WHOLE, Segment
from ttsrl.data.layouts.base import Corpus, Listed, Listing
from ttsrl.errors import BadInput, shorten
from ttsrl.lines.folders import is_file
from ttsrl.lines.text import lines_of
from ttsrl.text.languages import language_of

OTHERS = (
    "spk2utt", "utt2dur", "reco2dur", "utt2num_frames", "feats.scp", "cmvn.scp", "vad.scp",
    "spk2gender", "utt2uniq", "reco2file_and_channel", "num_utts", "utt2gender", "frame_shift",
)  # fmt: skip
"""Files of a data folder that say nothing of what is read here."""


class Kaldi:
    """See above."""

    name = "kaldi"

    def find(self, corpus: Corpus, columns: Mapping[str, str]) -> Listing | None:
        """See `Layout.find`."""
        folders = [file.parent for file in corpus.named("wav.scp")]
        listed = [item for folder in folders for item in _data_folder(folder)]
        read = {
            folder / name
            for folder in folders
            for name in ("wav.scp", "text", "segments", "utt2spk", "utt2lang", *OTHERS)
        }
        if not folders:
            return None
        return Listing(self.name, listed, frozenset(read), frozenset(folders))


def _data_folder(folder: Path) -> list[Listed]:
    files = _recordings(folder / "wav.scp")
    texts, speakers, languages = (
        {name: value for name, (_, value) in _table(folder / file).items()}
        for file in ("text", "utt2spk", "utt2lang")
    )
    parts = {name: (name, WHOLE) for name in files}
    if (segments := folder / "segments").is_file():
        parts = {name: _segment(*entry) for name, entry in _table(segments).items()}
    listed: list[Listed] = []
    for name, (recording, segment) in parts.items():
        if recording not in files:
            raise BadInput(
                f"{folder}/segments: {name} is of the recording {recording}, which is not in "
                "wav.scp; add it there"
            )
        language = languages.get(name)
        listed.append(
            Listed(
                files[recording],
                folder / "text",
                texts.get(name) or None,
                name,
                language_of(language) if language else None,
                speakers.get(name),
                segment,
            )
        )
    if texts and not any(item.text for item in listed):
        raise BadInput(
            f"{folder}/text: none of its {len(texts)} utterances is in "
            f"{'segments' if segments.is_file() else 'wav.scp'}; the first is "
            f"{next(iter(texts))!r}; correct the names"
        )
    return listed


def _recordings(scp: Path) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for name, (place, value) in _table(scp).items():
        if value.endswith("|"):
            raise BadInput(
                f"{place}: {shorten(value)} is a command, and commands are not run; run it once, "
                "and write the path of what it gives"
            )
        if re.search(r"\.ark(:\d+)?$", value):
            raise BadInput(
                f"{place}: {shorten(value)} is in Kaldi's archive format, which is not read; copy "
                "the recordings to WAV files (wav-copy), and write their paths"
            )
        files[name] = Path(posixpath.normpath(scp.parent / value))
    if files and not any(is_file(file) for file in files.values()):
        raise BadInput(
            f"{scp}: none of its {len(files)} recordings is there; the first is "
            f"{next(iter(files.values()))}; write absolute paths, or paths from {scp.parent}"
        )
    return files


def _segment(place: str, value: str) -> tuple[str, Segment]:
    """(recording, its part)"""
    try:
        recording, begin, end = value.split()[:3]
        begin_s, end_s = float(begin), float(end)
    except ValueError:
        raise BadInput(
            f"{place}: {shorten(value)} is not a recording, a begin and an end in seconds"
        ) from None
    if end_s < 0:
        return recording, Segment(begin_s)
    if end_s <= begin_s:
        raise BadInput(f"{place}: the segment ends at {end_s:g} s and begins at {begin_s:g} s")
    return recording, Segment(begin_s, end_s - begin_s)


def _table(file: Path) -> dict[str, tuple[str, str]]:
    """Name -> (file:line, value, which may be empty); none where there is no file."""
    values: dict[str, tuple[str, str]] = {}
    if not file.is_file():
        return values
    for place, line in lines_of(file):
        name, *rest = line.split(maxsplit=1)
        if name in values:
            raise BadInput(f"{place}: {name!r} stands at {values[name][0]} already; keep one")
        values[name] = place, " ".join(rest).strip()
    return values
