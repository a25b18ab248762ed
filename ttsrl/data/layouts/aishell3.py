"""AISHELL-3 (openslr.org/93): train/content.txt and train/wav/SPEAKER/NAME.wav.

A line is NAME.wav, a tab, and characters and their pinyin by turns: `你 ni3 好 hao3`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from ttsrl.data.layouts.base import Corpus, Listed, Listing, Matching
from ttsrl.errors import BadInput, shorten
from ttsrl.lines.text import lines_of

SYLLABLE = re.compile(r"[a-zA-Z:üÜ]+[0-6]?")


class Aishell3:
    """See above."""

    name = "aishell3"

    def find(self, corpus: Corpus, columns: Mapping[str, str]) -> Listing | None:
        """See `Layout.find`."""
        files = corpus.named("content.txt")
        known = corpus.named("label_train-set.txt", "spk-info.txt", "phone_set.txt")
        listed: list[Listed] = []
        notes: list[str] = []
        for file in files:
            recordings = corpus.below(file.parent)
            matching = Matching(file, recordings)
            for place, line in lines_of(file):
                name, _, said = line.partition("\t")
                recording = recordings.find(name.strip(), place)
                matching.add(
                    place,
                    name.strip(),
                    _characters(place, said),
                    language="zh",
                    speaker=recording.parent.name if recording else None,
                )
            notes += matching.done()
            listed += matching.listed
        read = frozenset([*files, *known])
        return Listing(self.name, listed, read, notes=tuple(notes)) if files else None


def _characters(place: str, said: str) -> str:
    """The characters of characters and pinyin by turns."""
    parts = said.split()
    if not parts or len(parts) % 2 or not all(map(SYLLABLE.fullmatch, parts[1::2])):
        raise BadInput(
            f"{place}: {shorten(said)} is not characters and their pinyin by turns, as AISHELL-3 "
            "writes them after a tab; correct the line, or name another --layout"
        )
    return "".join(parts[::2])
