"""Lists with bars, as VITS and GPT-SoVITS train from: PATH|TEXT, or PATH|SPEAKER|LANGUAGE|TEXT.

Paths are from the list's folder. PATH|SPEAKER|TEXT and PATH|TEXT|SPEAKER look alike: both are
refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ttsrl.audio.io import SUFFIXES, WHOLE
from ttsrl.data.layouts.rows import RecordingRow
from ttsrl.errors import BadInput, shorten
from ttsrl.lines.text import lines_of, suffix_of
from ttsrl.text.languages import LANGUAGES, language_of

ENDINGS = (".txt", ".list", ".lst", ".csv")


def is_filelist(file: Path) -> bool:
    """Whether the first line of a file is a recording's path and a bar."""
    if suffix_of(file) not in ENDINGS:
        return False
    line = next((line for _, line in lines_of(file)), "")
    name, bar, _ = line.partition("|")
    return bool(bar) and name.strip().lower().endswith(SUFFIXES)


def filelist_rows(file: Path) -> Iterator[tuple[str, RecordingRow]]:
    """(file:line, row) of every line. Raises BadInput for lines of other parts."""
    for place, line in lines_of(file):
        values = [value.strip() for value in line.split("|")]
        language = speaker = None
        match values:
            case [name, text]:
                pass
            case [name, speaker, code, text] if code.lower() in LANGUAGES:
                language = language_of(code.lower())
            case _:
                raise BadInput(
                    f"{place}: {shorten(line)} has {len(values)} parts between bars, and "
                    "PATH|TEXT or PATH|SPEAKER|LANGUAGE|TEXT is read; write a table with a header "
                    "(audio_file|text|speaker in a metadata.csv), or JSON lines"
                )
        yield place, RecordingRow(name, text or None, language, speaker, None, None, WHOLE)
