"""All layouts, and what they find together in a folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args

from ttsrl.data.layouts.aishell3 import Aishell3
from ttsrl.data.layouts.audio_folder import AudioFolder
from ttsrl.data.layouts.base import Corpus, Layout, Listed, Listing
from ttsrl.data.layouts.beside import LibriSpeech, LibriTts, TextBeside
from ttsrl.data.layouts.common_voice import CommonVoice
from ttsrl.data.layouts.emilia import Emilia
from ttsrl.data.layouts.kaldi import Kaldi
from ttsrl.data.layouts.lhotse_folder import Lhotse
from ttsrl.data.layouts.ljspeech import LjSpeech
from ttsrl.data.layouts.parallel import Vctk, WenetSpeech4Tts
from ttsrl.errors import BadInput, did_you_mean, shorten

LAYOUTS: Sequence[Layout] = (
    Kaldi(),
    CommonVoice(),
    LibriTts(),
    TextBeside(),
    LibriSpeech(),
    Vctk(),
    WenetSpeech4Tts(),
    Aishell3(),
    Emilia(),
    Lhotse(),
    LjSpeech(),
    AudioFolder(),
)

LayoutName = Literal[
    "auto", "none", "aishell3", "audiofolder", "beside", "common-voice", "emilia", "kaldi",
    "lhotse", "libritts", "librispeech", "ljspeech", "vctk", "wenetspeech4tts",
]  # fmt: skip
"""auto: every layout that is there. none: the recordings alone."""


def layout_named(name: str) -> LayoutName:
    """A layout by its name. Raises BadInput for an unknown one."""
    known: tuple[LayoutName, ...] = get_args(LayoutName)
    for layout in known:
        if layout == name:
            return layout
    raise BadInput(f"no layout {name!r}{did_you_mean(name, known)}")


def find(corpus: Corpus, layout: LayoutName, columns: Mapping[str, str]) -> list[Listing]:
    """What lies in a folder, by the layout that is named, or by all of them.

    Raises BadInput where the named one is not there, and as `Layout.find` does.
    """
    if layout == "none":
        return []
    if layout == "ljspeech":
        wanted: Iterable[Layout] = [LjSpeech(any_third=True)]
    else:
        wanted = [known for known in LAYOUTS if layout in ("auto", known.name)]
    found = [listing for one in wanted if (listing := one.find(corpus, columns)) is not None]
    if layout != "auto" and not found:
        raise BadInput(
            f"{corpus.folder} is not in the layout {layout}: see docs/data.md for the files that "
            "it has; give the folder that holds them, or leave --layout out"
        )
    return found


def merge(listings: Iterable[Listing], corpus: Corpus) -> list[Listed]:
    """Every recording once, with its text; those that nothing lists come without one.

    Raises BadInput for a recording of which two files say different things.
    """
    listings = list(listings)
    whole = frozenset(folder for listing in listings for folder in listing.whole)
    by_part: dict[tuple[Path, float, float | None], Listed] = {}
    for item in (item for listing in listings for item in listing.listed):
        part = (item.file, item.segment.offset_s, item.segment.duration_s)
        other = by_part.get(part)
        if other is None or other.text is None:
            by_part[part] = item
        elif item.text is not None and item.text.split() != other.text.split():
            raise BadInput(
                f"{item.file} has two texts: {shorten(other.text)} in {other.source}, and "
                f"{shorten(item.text)} in {item.source}; choose one by --layout, or remove one"
            )
    listed = {item.file for item in by_part.values()}
    rest = [
        Listed(file, file, None)
        for file in corpus.recordings
        if file not in listed and whole.isdisjoint(file.parents)
    ]
    return sorted([*by_part.values(), *rest], key=lambda item: (item.file, item.segment.offset_s))
