"""A text file beside each recording, or one in each folder of recordings.

LibriTTS (openslr.org/60): SPEAKER/CHAPTER/NAME.wav, NAME.normalized.txt and NAME.original.txt.
LibriSpeech (openslr.org/12): SPEAKER/CHAPTER/NAME.flac and one SPEAKER-CHAPTER.trans.txt.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ttsrl.data.layouts.base import Corpus, Listed, Listing, Matching
from ttsrl.errors import BadInput, shorten
from ttsrl.lines.text import lines_of, text_of

NORMALISED, ORIGINAL, PLAIN = ".normalized.txt", ".original.txt", ".txt"


class TextBeside:
    """NAME.txt beside NAME.wav; all its lines are one text."""

    name = "beside"

    def find(self, corpus: Corpus, columns: Mapping[str, str]) -> Listing | None:
        """See `Layout.find`."""
        return _beside(self.name, corpus, PLAIN, unless=NORMALISED)


class LibriTts:
    """NAME.normalized.txt beside NAME.wav; the original text is not read."""

    name = "libritts"

    def find(self, corpus: Corpus, columns: Mapping[str, str]) -> Listing | None:
        """See `Layout.find`."""
        return _beside(self.name, corpus, NORMALISED)


class LibriSpeech:
    """NAME TEXT in *.trans.txt of the recording's folder."""

    name = "librispeech"

    def find(self, corpus: Corpus, columns: Mapping[str, str]) -> Listing | None:
        """See `Layout.find`."""
        files = [f for f in corpus.others if f.name.endswith(".trans.txt")]
        listed: list[Listed] = []
        notes: list[str] = []
        for file in files:
            matching = Matching(file, corpus.below(file.parent))
            for place, line in lines_of(file):
                name, _, text = line.strip().partition(" ")
                if not text.strip():
                    raise BadInput(f"{place}: no text after {shorten(name)}; write NAME TEXT")
                matching.add(place, name, text)
            notes += matching.done()
            listed += matching.listed
        return Listing(self.name, listed, frozenset(files), notes=tuple(notes)) if files else None


def _beside(layout: str, corpus: Corpus, ending: str, unless: str | None = None) -> Listing | None:
    listed: list[Listed] = []
    read: set[Path] = set()
    for file in corpus.recordings:
        text = file.with_name(f"{file.stem}{ending}")
        if text not in corpus.known:
            continue
        read |= {text, file.with_name(f"{file.stem}{ORIGINAL}")}
        if unless and file.with_name(f"{file.stem}{unless}") in corpus.known:
            continue
        listed.append(Listed(file, text, " ".join(text_of(text).split()) or None))
    return Listing(layout, listed, frozenset(read)) if read else None
