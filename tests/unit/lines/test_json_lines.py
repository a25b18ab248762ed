"""Lines as users have them: what ends one, what a file begins with, and what is refused where."""

import gzip
import json
from pathlib import Path

import pytest

from ttsrl.errors import BadInput
from ttsrl.lines.folders import visible_files
from ttsrl.lines.json_lines import json_objects
from ttsrl.lines.tables import table_rows
from ttsrl.lines.text import lines_of, suffix_of

SEPARATORS = ["\u2028", "\u2029", "\x85", "\x1c", "\x1d", "\x1e", "\x0b", "\x0c"]
"""All that `str.splitlines` takes for a line end, beside \\n and \\r."""


def texts(file: Path) -> list[object]:
    return [row["text"] for _, row in json_objects(file, '{"text": "..."}')]


@pytest.mark.parametrize("separator", SEPARATORS, ids=ascii)
def test_only_a_line_feed_ends_a_line(tmp_path: Path, separator: str) -> None:
    file = tmp_path / "texts.jsonl"
    wanted = [f"two{separator}birds", "three dogs"]
    lines = [json.dumps({"text": text}, ensure_ascii=False) for text in wanted]
    if separator >= "\x20":  # JSON escapes the control characters
        assert separator in lines[0]
    file.write_text("\n".join(lines), encoding="utf-8", newline="")
    assert texts(file) == wanted
    plain = tmp_path / "plain.txt"
    plain.write_text("\r\n".join(wanted), encoding="utf-8", newline="")
    assert [line for _, line in lines_of(plain)] == wanted


def test_a_bom_blank_lines_gzip_and_a_last_line_without_end_are_read(tmp_path: Path) -> None:
    content = b'\xef\xbb\xbf{"text": "a"}\r\n\n \t\n{"text": "b"}'
    (tmp_path / "a.jsonl").write_bytes(content)
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(content))
    (tmp_path / "c.jsonl").write_bytes(gzip.compress(content))  # whatever it is called
    for file in sorted(tmp_path.iterdir()):
        assert texts(file) == ["a", "b"]
    places = [place for place, _ in json_objects(tmp_path / "a.jsonl", "{}")]
    assert places == [f"{tmp_path}/a.jsonl:1", f"{tmp_path}/a.jsonl:4"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"text": ' + b"[" * 100_000, "nests too deeply"),
        (b'{"text": ' + b"[" * 50_000 + b"]" * 50_000 + b"}", "nests too deeply"),
        (b'{"text": "b", "id": ' + b"1" * 5_000 + b"}", "too many digits"),
        (b'{"text": "b", "text": "c"}', "the key 'text' stands twice"),
        (b'{"text": "b", "id": "\\udc00"}', r"half of a surrogate pair, U\+DC00"),
        (b'{"text": "b"', r"not JSON at column 13 .*; write one \{\} a line"),
        (b'"b"', 'not a JSON object'),
        (b'{"text": "\xff"}', "byte 0xff at column 11 is not UTF-8"),
    ],
)  # fmt: skip
def test_a_line_that_cannot_be_read_is_named(tmp_path: Path, line: bytes, said: str) -> None:
    file = tmp_path / "t.jsonl"
    file.write_bytes(b'{"text": "a"}\n\n' + line + b"\n")
    with pytest.raises(BadInput, match=rf"t\.jsonl:3: .*{said}"):
        list(json_objects(file, "{}"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"text": "a"}'.encode("utf-16"), ":1: the file is UTF-16; save it as UTF-8"),
        (gzip.compress(b'{"text": "a"}\n' * 99, mtime=0)[:-20], "damaged gzip"),
        (b"\x1f\x8b\x08 nothing", "damaged gzip"),
    ],
)
def test_a_file_that_is_not_text_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "t.jsonl"
    file.write_bytes(content)
    with pytest.raises(BadInput, match=rf"t\.jsonl.*{said}"):
        texts(file)
    with pytest.raises(BadInput, match="cannot be read: Is a directory"):
        texts(tmp_path)


def test_commas_have_quotes_and_line_ends_and_tabs_have_neither(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text('name,text\na,"ten of\n\nclubs"\n\nb,"say ""four"" now"\n')
    assert list(table_rows(file, ",")) == [
        (f"{file}:2", {"name": "a", "text": "ten of\n\nclubs"}),
        (f"{file}:6", {"name": "b", "text": 'say "four" now'}),
    ]
    file.write_text('path\tsentence\na.mp3\t"Yes", he said, "and "no"\n')
    assert [row["sentence"] for _, row in table_rows(file, "\t")] == ['"Yes", he said, "and "no"']


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a,b\n1,2,3\n", r"t\.csv:2: 3 values and 2 columns: .*quote values that hold commas"),
        ("a,b\n1\n", r"t\.csv:2: 1 values and 2 columns"),
        ("a,a\n1,2\n", r"t\.csv:1: the column 'a' stands twice"),
        ('a,b\n1,"2\n3,4\n', r"t\.csv:2: not CSV: unexpected end of data; put values"),
        ('a,b\n1,"x" y\n', r"t\.csv:2: not CSV: .*double the quotes"),
    ],
)
def test_a_broken_table_is_named_with_its_line(tmp_path: Path, content: str, said: str) -> None:
    file = tmp_path / "t.csv"
    file.write_text(content)
    with pytest.raises(BadInput, match=said):
        list(table_rows(file, ","))


def test_hidden_files_are_left_alone_and_a_circle_of_links_ends(tmp_path: Path) -> None:
    for name in ("a/b.wav", "a/._b.wav", "a/.git/c.wav", ".cache/d.wav", "__MACOSX/e.wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "a" / "again").symlink_to(tmp_path)
    assert visible_files(tmp_path) == [tmp_path / "a/b.wav"]
    elsewhere = tmp_path / ".elsewhere"
    elsewhere.mkdir()
    (elsewhere / "f.wav").touch()
    (tmp_path / "wavs").symlink_to(elsewhere)
    assert visible_files(tmp_path) == [tmp_path / "a/b.wav", tmp_path / "wavs/f.wav"]


def test_a_name_says_what_a_file_holds_in_capitals_and_compressed_too() -> None:
    assert [suffix_of(Path(n)) for n in ("a.TXT", "a.jsonl.GZ", "b.csv", "c")] == [
        ".txt", ".jsonl", ".csv", "",
    ]  # fmt: skip
