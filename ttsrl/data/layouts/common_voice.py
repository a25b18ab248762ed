"""Common Voice (commonvoice.mozilla.org): LANGUAGE/validated.tsv and LANGUAGE/clips/NAME.mp3.

Columns are path, sentence, client_id, locale and others. validated.tsv holds what its listeners
agreed on; train.tsv, dev.tsv and test.tsv are parts of it. What only invalidated.tsv, other.tsv or
reported.tsv names is not read.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ttsrl.data.layouts.base import Corpus, Listed, Listing, Matching
from ttsrl.lines.tables import header_of, table_rows
from ttsrl.text.languages import language_of

CLIPS = "clips"
PARTS_OF_VALIDATED = ("train.tsv", "dev.tsv", "test.tsv")
OTHERS = (
    "invalidated.tsv", "other.tsv", "reported.tsv", "clip_durations.tsv", "times.txt",
    "validated_sentences.tsv", "unvalidated_sentences.tsv",
)  # fmt: skip


class CommonVoice:
    """See above."""

    name = "common-voice"

    def find(self, corpus: Corpus, columns: Mapping[str, str]) -> Listing | None:
        """See `Layout.find`."""
        tables = [f for f in corpus.named("validated.tsv", *PARTS_OF_VALIDATED) if is_table(f)]
        complete = {file.parent for file in tables if file.name == "validated.tsv"}
        chosen = [f for f in tables if f.name == "validated.tsv" or f.parent not in complete]
        listed: list[Listed] = []
        notes: list[str] = []
        for table in chosen:
            matching = Matching(table, corpus.below(table.parent / CLIPS))
            for place, row in table_rows(table, "\t"):
                matching.add(
                    place,
                    row["path"],
                    row["sentence"],
                    language=language_of(row["locale"]) if row.get("locale") else None,
                    speaker=row.get("client_id") or None,
                )
            notes += matching.done()
            listed += matching.listed
        if not chosen:
            return None
        folders = frozenset(table.parent for table in chosen)
        known = {folder / name for folder in folders for name in OTHERS}
        return Listing(self.name, listed, frozenset([*tables, *known]), folders, tuple(notes))


def is_table(file: Path) -> bool:
    """Whether a file is a table of Common Voice, with its clips beside it."""
    return (file.parent / CLIPS).is_dir() and {"path", "sentence"} <= set(header_of(file, "\t"))
