"""What is known of a corpus before hours of work: which recordings have a text, and from where."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ttsrl.data.layouts.base import Corpus
from ttsrl.errors import BadInput, shorten
from ttsrl.lines.text import GZIP, suffix_of

TEXT_SUFFIXES = frozenset(
    [".txt", ".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet", ".arrow", ".feather",
     ".xlsx", ".xls", ".ods", ".docx", ".odt", ".rtf", ".sqlite", ".db", ".pkl", ".tar"]
)  # fmt: skip
"""Endings of files that may hold transcripts; of others the content says whether they are text."""
NO_TEXT_SUFFIXES = frozenset(
    [".py", ".sh", ".pl", ".rb", ".c", ".m", ".r", ".ipynb", ".js", ".css", ".html", ".htm", ".svg",
     ".md", ".rst", ".bib", ".cff", ".log", ".ini", ".cfg", ".conf", ".toml", ".lock", ".sha1",
     ".rttm", ".f0", ".pitch", ".uem", ".spk", ".patch"]
)  # fmt: skip
"""Endings of files of text that hold no transcripts: programs, pages, speakers, pitch."""
HEAD = 512
"""Bytes of a file by which text is told from what is not."""

NO_TEXTS = re.compile(
    r"(readme|licen[cs]e|copying|notice|note|changelog|citation|authors|requirements|speakers?|"
    r"books?|chapters?|speaker-info|spk-info|reader_book|update|md5|sha256|checksums?|"
    r"dataset_infos?|state|config|encode|skipped)[\w.-]*",
    re.IGNORECASE,
)
"""Names of files that come with corpora and hold none."""
NO_TEXT_ENDINGS = (".book.tsv", ".trans.tsv", ".original.txt")
"""LibriTTS: what its *.normalized.txt say, or something else."""
SHOWN = 3


@dataclass(frozen=True)
class Survey:
    """Counts, where the texts are, and what was not understood."""

    source: Path
    recordings: int
    with_text: int
    texts_in: tuple[Path, ...]
    """Files in which the texts stand."""
    example: tuple[str, str] | None
    """A recording and its text."""
    unread: tuple[Path, ...]
    """Files that may hold texts, and were not read."""
    notes: tuple[str, ...]

    def check(self) -> None:
        """Raise BadInput if no recording has a text, and files that may hold texts were unread."""
        if not self.with_text and self.unread:
            raise BadInput(
                f"none of {self.recordings} recordings in {self.source} has a transcript, and "
                f"{_names(self.unread, self.source)} was not understood; see docs/data.md for the "
                "layouts that are read, give a file that names recordings itself, or say --layout "
                "none to encode the recordings without texts"
            )

    def __str__(self) -> str:
        """A few lines for people."""
        lines = [f"{self.recordings} recordings, {self.with_text} with a transcript"]
        if self.example is not None:
            name, text = self.example
            lines[0] += f", from {_names(self.texts_in, self.source)}"
            lines.append(f"{name} says {shorten(text)}")
        lines += self.notes
        if self.unread and self.with_text < self.recordings:
            lines.append(f"not read: {_names(self.unread, self.source)}")
        return "\n".join(lines)


def unread_in(corpus: Corpus, read: Iterable[Path]) -> list[Path]:
    """Files of a corpus that may hold transcripts and were not read."""
    known = frozenset(read)
    is_text: dict[str, bool] = {}
    return [file for file in corpus.others if file not in known and _may_hold_texts(file, is_text)]


def _may_hold_texts(file: Path, is_text: dict[str, bool]) -> bool:
    """`is_text`: whether files of an ending are text, by the first of each."""
    name = file.name.lower().removesuffix(".gz")
    if NO_TEXTS.fullmatch(name) or name.endswith(NO_TEXT_ENDINGS):
        return False
    if (suffix := suffix_of(file)) in TEXT_SUFFIXES:
        return True
    if suffix in NO_TEXT_SUFFIXES:
        return False
    kind = suffix or name
    if kind not in is_text:
        is_text[kind] = _is_text(file)
    return is_text[kind]


def _is_text(file: Path) -> bool:
    """Whether a file begins with text, compressed or not."""
    try:
        with file.open("rb") as content:
            head = content.read(HEAD)
        if head.startswith(GZIP):
            with gzip.open(file) as content:
                head = content.read(HEAD)
        text = head.decode("utf-8", errors="ignore")
    except (OSError, EOFError, zlib.error):
        return False
    whole = len(text.encode()) > len(head) - 4  # a letter may be cut at the end
    return bool(text.strip()) and whole and all(c.isprintable() or c.isspace() for c in text)


def _names(files: Iterable[Path], source: Path) -> str:
    """`metadata.csv`; `a/b.txt and 199 more *.txt`."""
    shown: list[str] = []
    by_kind: dict[str, list[Path]] = {}
    for file in files:
        by_kind.setdefault(suffix_of(file) or file.name, []).append(file)
    for kind, of_kind in sorted(by_kind.items(), key=lambda item: len(item[1])):
        few = of_kind if len(of_kind) <= SHOWN else of_kind[:1]
        shown += [str(_from(file, source)) for file in few]
        if len(of_kind) > len(few):
            every = f"*{kind}" if kind.startswith(".") else kind
            shown[-1] += f" and {len(of_kind) - len(few)} more {every}"
    return ", ".join(shown)


def _from(file: Path, source: Path) -> Path:
    return file.relative_to(source) if file != source and file.is_relative_to(source) else file
