"""AudioFolder of `datasets`: metadata.csv, metadata.jsonl or metadata.parquet in any folder.

Each row names a recording from that folder on. Coqui's voices have a header between bars instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ttsrl.data.fields import Keys, typed
from ttsrl.data.layouts.base import Corpus, Listed, Listing, Matching
from ttsrl.data.layouts.ljspeech import is_barred
from ttsrl.data.layouts.manifest import check_header
from ttsrl.data.layouts.rows import ROW, row_of
from ttsrl.data.sources import read_parquet
from ttsrl.lines.json_lines import json_objects
from ttsrl.lines.tables import DELIMITER_OF, header_of, table_rows
from ttsrl.lines.text import suffix_of

NAMES = ("metadata.csv", "metadata.tsv", "metadata.jsonl", "metadata.parquet")


class AudioFolder:
    """See above."""

    name = "audiofolder"

    def find(self, corpus: Corpus, columns: Mapping[str, str]) -> Listing | None:
        """See `Layout.find`."""
        keys = Keys(ROW, columns)
        files = [
            file
            for file in corpus.named(*NAMES)
            if suffix_of(file) != ".csv" or not is_barred(file)
        ]
        listed: list[Listed] = []
        notes: list[str] = []
        for file in files:
            matching = Matching(file, corpus.below(file.parent))
            for place, raw in _rows(file):
                matching.add_row(place, row_of(place, raw, keys))
            notes += matching.done()
            listed += matching.listed
        return Listing(self.name, listed, frozenset(files), notes=tuple(notes)) if files else None


def _rows(file: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    match suffix_of(file):
        case ".jsonl":
            return json_objects(file, '{"file_name": "...", "text": "..."}')
        case ".parquet":
            return read_parquet(file)
        case suffix:
            barred = "|" in next(iter(header_of(file, "\n")), "")
            rows = table_rows(file, mark := "|" if barred else DELIMITER_OF[suffix])
            check_header(file, mark)
            return ((place, typed(row)) for place, row in rows)
