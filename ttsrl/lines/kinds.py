"""Files that are no text, told by their first bytes: what they are, and what to do instead."""

from __future__ import annotations

from pathlib import Path

from ttsrl.errors import BadInput

HEAD = 262
SHEETS = (".xlsx", ".xlsm", ".xls", ".ods", ".numbers")
UNREAD = {
    **dict.fromkeys([".srt", ".vtt", ".sbv", ".ass", ".ssa", ".lrc"], "subtitles"),
    **dict.fromkeys([".stm", ".ctm", ".trn"], "a transcript in NIST's format"),
    **dict.fromkeys([".textgrid", ".collection"], "Praat's annotation"),
    **dict.fromkeys([".lab", ".mlf"], "HTK's labels"),
    **dict.fromkeys([".phn", ".wrd"], "TIMIT's labels"),
    **dict.fromkeys([".yaml", ".yml"], "YAML, such as MuST-C's list of segments"),
    ".eaf": "ELAN's annotation",
    ".cha": "CHAT's transcript",
    ".rttm": "a list of speakers",
    ".xml": "XML",
    ".html": "a web page",
}
"""Ending of a name -> what such a file is."""
STARTS = {
    b"PK\x03\x04": "a zip archive; unpack it",
    b"Rar!\x1a": "a RAR archive; unpack it",
    b"7z\xbc\xaf": "a 7-Zip archive; unpack it",
    b"\x28\xb5\x2f\xfd": "compressed with zstd; decompress it",
    b"BZh91AY&SY": "compressed with bzip2; decompress it",
    b"\xfd7zXZ": "compressed with xz; decompress it",
    b"%PDF": "a PDF; write its text to a .txt file",
    b"SQLite format 3\x00": "a SQLite database; export a table as CSV",
    b"PAR1\x15": "parquet; name it .parquet",
    b"ARROW1\x00": "an Arrow file; write parquet, or give the data set's folder",
    b"\xd0\xcf\x11\xe0": "an old Office document; save it as CSV (UTF-8)",
}
"""First bytes -> what such a file is, and a way out."""


def refuse_other_kinds(file: Path, head: bytes) -> None:
    """Raise BadInput for a file whose name or first `HEAD` bytes say that it is not text."""
    if file.suffix.lower() in SHEETS:
        raise BadInput(f"{file} is a spreadsheet, which is not read; save it as CSV (UTF-8)")
    suffix = Path(file.name.lower().removesuffix(".gz")).suffix
    if what := UNREAD.get(suffix):
        raise BadInput(
            f"{file} holds {what}, and such files are not read; write JSON lines: of recordings "
            '{"audio": "PATH", "text": "...", "offset": SECONDS, "duration": SECONDS}, of texts '
            '{"text": "..."}'
        )
    for start, kind in STARTS.items():
        if head.startswith(start):
            raise BadInput(f"{file} is {kind}")
    if head[257:262] == b"ustar":
        raise BadInput(f"{file} is a tar archive, and no list; name it .tar, or unpack it")
