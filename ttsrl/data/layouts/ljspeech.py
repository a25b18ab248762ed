"""LJSpeech (keithito.com/LJ-Speech-Dataset): metadata.csv and wavs/NAME.wav.

A line is NAME|text|normalised text, without a header and without quoting. Others write
NAME|text, or something else in the third column: Coqui's voices have the speaker there.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rapidfuzz.distance import Levenshtein

from ttsrl.data.fields import ALSO
from ttsrl.data.layouts.base import Corpus, Listed, Listing, Matching
from ttsrl.errors import BadInput, shorten
from ttsrl.lines.text import lines_of

METADATA = "metadata.csv"
COMPARED = 500
"""Lines that decide what the third column is."""


class LjSpeech:
    """See above. `any_third`: the third column is the text, whatever stands there."""

    name = "ljspeech"

    def __init__(self, any_third: bool = False) -> None:
        self.any_third = any_third

    def find(self, corpus: Corpus, columns: Mapping[str, str]) -> Listing | None:
        """See `Layout.find`."""
        files = [file for file in corpus.named(METADATA) if is_barred(file)]
        listed: list[Listed] = []
        notes: list[str] = []
        for file in files:
            matching = Matching(file, corpus.below(file.parent))
            for place, name, text in self._rows(file):
                matching.add(place, name, text)
            notes += matching.done()
            listed += matching.listed
        return Listing(self.name, listed, frozenset(files), notes=tuple(notes)) if files else None

    def _rows(self, file: Path) -> list[tuple[str, str, str]]:
        """(place, name, text)"""
        rows = [(place, [v.strip() for v in line.split("|")]) for place, line in lines_of(file)]
        count = len(rows[0][1])
        if uneven := next((row for row in rows if len(row[1]) != count), None):
            raise BadInput(
                f"{uneven[0]}: {len(uneven[1])} values between bars, and the first line has "
                f"{count}: {shorten('|'.join(uneven[1]))}; correct it: no text may contain a bar"
            )
        if count > 3:
            raise BadInput(
                f"{file}: {count} values between bars, and which one is the text is not said; "
                "write a first line that names them, such as file_name|text|speaker"
            )
        third = [values[2] for _, values in rows] if count == 3 else [""] * len(rows)
        if not self.any_third and any(third) and not _are_texts(rows[:COMPARED]):
            raise BadInput(
                f"{file}: the third column, such as {shorten(next(filter(None, third)))}, is not "
                "the text of the second one in other words; write a first line that names the "
                "columns, such as file_name|text|speaker, or say --layout ljspeech if it is the "
                "normalised text"
            )
        return [(place, v[0], t or v[1]) for (place, v), t in zip(rows, third, strict=True)]


def is_barred(file: Path) -> bool:
    """Whether a metadata file has values between bars, and no header."""
    first = next((line for _, line in lines_of(file)), "")
    names = {name for also in ALSO.items() for name in (also[0], *also[1])}
    return "|" in first and names.isdisjoint(v.strip().lower() for v in first.split("|"))


def _are_texts(rows: list[tuple[str, list[str]]]) -> bool:
    """Whether third columns say what second ones say; a speaker's name or a duration does not."""
    pairs = {(v[1].casefold(), v[2].casefold()) for _, v in rows if v[2]}
    if len(pairs) > 1 and len({third for _, third in pairs}) <= len(pairs) / 2:
        return False
    return sum(_read_out(*pair) for pair in pairs) >= len(pairs) / 2


def _read_out(text: str, other: str) -> bool:
    """Whether the other is the text, or the text with its numbers in words."""
    if any(c.isdigit() for c in text):
        return len(other) >= 0.8 * len(text) and not any(c.isdigit() for c in other)
    return Levenshtein.normalized_similarity(text, other) >= 0.5
