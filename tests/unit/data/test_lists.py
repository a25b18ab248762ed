"""Lists that name recordings, in the forms that other projects write; and files that are none."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from ttsrl.audio.io import Segment
from ttsrl.data.fields import Keys
from ttsrl.data.recordings import Recording, read_recordings
from ttsrl.data.sources import read_rows
from ttsrl.errors import BadInput
from ttsrl.scorers.speaker import voices_in

RECORDING = {"id": "r1", "sources": [{"type": "file", "channels": [0], "source": "wav/a.wav"}],
             "sampling_rate": 16_000, "num_samples": 16_000, "duration": 1.0}  # fmt: skip
SUPERVISION = {"id": "s1", "recording_id": "r1", "start": 0.2, "duration": 0.5, "channel": 0,
               "text": "one fox", "language": "English", "speaker": "p"}  # fmt: skip


def read(source: Path) -> list[Recording]:
    return read_recordings(source, {}, None).recordings


def manifests(folder: Path, recording: Any, supervision: Any) -> Path:
    (folder / "wav").mkdir()
    (folder / "wav/a.wav").touch()
    for name, row in (("recordings", recording), ("supervisions", supervision)):
        line = gzip.compress((json.dumps(row) + "\n").encode())
        (folder / f"ljspeech_{name}_all.jsonl.gz").write_bytes(line)
    return folder


def test_lhotses_recordings_and_supervisions_are_read_together(tmp_path: Path) -> None:
    folder = manifests(tmp_path, RECORDING, SUPERVISION)
    (fox,) = read(folder)
    assert (fox.id, fox.text, fox.language, fox.speaker) == ("s1", "one fox", "en", "p")
    assert fox.segment == Segment(0.2, 0.5) and fox.read() == folder / "wav/a.wav"
    for name in ("recordings", "supervisions"):
        with pytest.raises(BadInput, match="give the folder that holds both"):
            read(folder / f"ljspeech_{name}_all.jsonl.gz")


@pytest.mark.parametrize(
    ("recording", "supervision", "reason"),
    [
        ({"id": "r2"}, {}, "'s1' is of the recording 'r1', which is not in ljspeech_recordings"),
        ({"transforms": [{"name": "Speed"}]}, {}, "'r1' changes its recording (transforms)"),
        ({}, {"start": "x"}, "supervisions_all.jsonl.gz:1: start: "),
        ({"sources": []}, {}, "the recording 'r1' has its recording as nothing"),
        ({"sources": [{"type": "file", "source": "b.wav"}]}, {}, "none of the 1 recordings"),
    ],
)
def test_manifests_that_do_not_fit_are_named(
    tmp_path: Path, recording: Any, supervision: Any, reason: str
) -> None:
    with pytest.raises(BadInput) as caught:
        read(manifests(tmp_path, RECORDING | recording, SUPERVISION | supervision))
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("filelist.txt", "a.wav|One fox.\n", ("One fox.", None, None)),
        ("x.list", "a.wav|ann|EN|One fox.\n", ("One fox.", "en", "ann")),
        ("m.csv", "audio;text;lang\na.wav;One fox.;en\n", ("One fox.", "en", None)),
        ("m.json", '[{"audio": "a.wav",\n "text": "One fox."}]', ("One fox.", None, None)),
    ],
)
def test_lists_of_other_projects(
    tmp_path: Path, name: str, content: str, expected: tuple[str, str | None, str | None]
) -> None:
    (tmp_path / "a.wav").touch()
    (tmp_path / name).write_text(content)
    (fox,) = read(tmp_path / name)
    assert (fox.text, fox.language, fox.speaker) == expected


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("f.txt", b"a.wav|3|One fox.\n", "f.txt:1: "),
        ("f.txt", b"a.wav|One|two|fox.\n", "has 4 parts between bars"),
        ("f.txt", b"9" * 5_000 + b".wav|One fox.\n", "none of the 1 recordings that it names"),
        ("f.csv", b"a.wav,One fox\nb.wav,Two\n", "its first line names the recording"),
        ("f.json", b'[{"audio": "a.wav"}, 7]', "f.json: item 1: 7 is not a JSON object"),
        ("f.json", b'[{"audio": "a.wav"},\n {"audio" 7]', "not JSON at line 2, column 11"),
        ("f.srt", b"1\n00:00:00,000 --> 00:00:01,000\nOne\n", "holds subtitles, and such files"),
        ("f.yaml", b"- {wav: a.wav}\n", "holds YAML, such as MuST-C's list of segments"),
        ("f.TextGrid", b'File type = "ooTextFile"\n', "holds Praat's annotation"),
        ("f.xlsx", b"PK\x03\x04", "is a spreadsheet, which is not read; save it as CSV"),
        ("f.jsonl", b"PK\x03\x04", "is a zip archive; unpack it"),
        ("f.jsonl", b"\x28\xb5\x2f\xfdx", "is compressed with zstd; decompress it"),
    ],
)
def test_a_file_that_is_no_list_is_named(
    tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput) as caught:
        read(tmp_path / name)
    assert reason in str(caught.value) and name in str(caught.value)


@pytest.mark.parametrize("name", ["metadata.jsonl", "EN_B00000.jsonl"])
def test_a_part_that_metadata_names_is_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.wav").touch()
    row = {"wav": "a.wav", "text": "One fox.", "offset": 0.5, "duration": 0.25}
    (tmp_path / name).write_text(json.dumps(row))
    assert [r.segment for r in read(tmp_path)] == [Segment(0.5, 0.25)]


def test_an_array_of_texts_is_read_for_prompts(tmp_path: Path) -> None:
    file = tmp_path / "texts.json"
    file.write_text('\n[{"text": "one"},\n{"text": "two"}]\n')
    assert [row["text"] for _, row in read_rows(file, Keys(("text",)))] == ["one", "two"]


def test_two_files_of_one_voice_are_refused(tmp_path: Path) -> None:
    for name in ("ann.wav", "ann.mp3", "._ann.wav"):
        (tmp_path / name).touch()
    with pytest.raises(BadInput, match=r"the voice 'ann' may be ann\.mp3 or ann\.wav"):
        voices_in(tmp_path)
    (tmp_path / "ann.mp3").unlink()
    assert voices_in(tmp_path) == {"ann": tmp_path / "ann.wav"}
