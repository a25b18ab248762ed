"""Emilia (huggingface.co/datasets/amphion/Emilia-Dataset): NAME.json beside NAME.mp3, as its
archives hold them; or, in its first version, EN_B00000.jsonl, whose rows name recordings in
`wav`, from its folder on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from ttsrl.data.fields import Keys
from ttsrl.data.layouts.base import Corpus, Listed, Listing, Matching
from ttsrl.data.layouts.rows import ROW, row_of
from ttsrl.lines.json_lines import json_objects, parse_json
from ttsrl.lines.text import text_of

LIST = re.compile(r"[A-Z]{2}[_-]B\d+\.jsonl(\.gz)?")


class Emilia:
    """See above."""

    name = "emilia"

    def find(self, corpus: Corpus, columns: Mapping[str, str]) -> Listing | None:
        """See `Layout.find`."""
        keys = Keys(ROW, columns)
        listed: list[Listed] = []
        notes: list[str] = []
        read: set[Path] = set()
        for file in corpus.recordings:
            description = file.with_name(f"{file.stem}.json")
            if description in corpus.known and (raw := _description(description)) is not None:
                row = row_of(str(description), raw, keys)
                read.add(description)
                listed.append(
                    Listed(file, description, row.text, row.id, row.language, row.speaker)
                )
        for file in (f for f in corpus.others if LIST.fullmatch(f.name)):
            matching = Matching(file, corpus.below(file.parent))
            for place, raw in json_objects(file, '{"wav": "...", "text": "..."}'):
                matching.add_row(place, row_of(place, raw, keys))
            notes += matching.done()
            listed += matching.listed
            read.add(file)
        return Listing(self.name, listed, frozenset(read), notes=tuple(notes)) if read else None


def _description(file: Path) -> Mapping[str, Any] | None:
    """What stands beside a recording; None for something else of its name."""
    value = parse_json(text_of(file), str(file), "correct it, or remove it")
    if not isinstance(value, dict) or "text" not in value:
        return None
    return cast("dict[str, Any]", value)
