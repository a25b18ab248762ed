"""Recordings in archives are read in place: WebDataset's shards and Lhotse Shar."""

import gzip
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyarrow import parquet

from support.audio_files import audio_file
from ttsrl.audio.io import Segment
from ttsrl.data.encode import EncodeOptions, encode
from ttsrl.data.recordings import Recording, read_recordings
from ttsrl.errors import BadInput
from ttsrl.scorers.reference import voice

SPEECH = audio_file("x.flac", voice(1.0).astype(np.float32))


def shard(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, contents in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(contents)
            tar.addfile(info, io.BytesIO(contents))
    return path


def read(source: Path) -> list[Recording]:
    return read_recordings(source, {}, None).recordings


def sample(key: str, **described: Any) -> dict[str, bytes]:
    return {f"{key}.flac": SPEECH, f"{key}.json": json.dumps(described).encode()}


def test_a_shard_of_webdataset_gives_its_recordings_with_their_texts(tmp_path: Path) -> None:
    named = {"b.mp3.flac": SPEECH, "b.txt": b"two birds\n", "b.cls": b"7", "._b.wav": b"macOS"}
    members = sample("x/a", text="one fox", language="en", speaker="s", duration=1.0) | named
    shard(tmp_path / "speech-000000.tar", members)
    (fox, birds) = read(tmp_path)
    assert (fox.id, fox.text, fox.language, fox.speaker) == ("x/a", "one fox", "en", "s")
    assert (birds.id, birds.text, birds.duration_s) == ("b", "two birds", None)
    assert fox.read() == birds.read() == SPEECH and fox.duration_s == 1.0
    assert [r.text for r in read(tmp_path / "speech-000000.tar")] == ["one fox", "two birds"]


def test_a_shard_is_encoded(tmp_path: Path) -> None:
    shard(tmp_path / "s.tar", sample("a", text="one fox"))
    encode(str(tmp_path / "s.tar"), "examples/tiny/codec", tmp_path / "out", EncodeOptions(),
           device="cpu")  # fmt: skip
    (file,) = (tmp_path / "out").rglob("*.parquet")
    (row,) = parquet.read_table(file).to_pylist()
    assert (row["id"], row["text"], row["duration_s"]) == ("a", "one fox", 1.0)


def cut(name: str, **changed: Any) -> str:
    said = {"id": "s", "recording_id": "r", "start": 0.25, "duration": 0.5, "channel": 0,
            "text": "one fox", "language": "English", "speaker": "p"}  # fmt: skip
    placeholder = {"type": "shar", "channels": [0], "source": ""}
    recording = {"id": "r", "sources": [placeholder], "sampling_rate": 16_000, "duration": 1.0}
    row = {"id": name, "start": 0, "duration": 1.0, "channel": 0, "supervisions": [said],
           "recording": recording, "type": "MonoCut"}  # fmt: skip
    return json.dumps(row | changed) + "\n"


def test_lhotse_shar_gives_the_part_that_its_cuts_say(tmp_path: Path) -> None:
    cuts = tmp_path / "cuts.000000.jsonl.gz"
    cuts.write_bytes(gzip.compress(cut("c.1-7").encode()))
    shard(tmp_path / "recording.000000.tar", {"c.1-7.flac": SPEECH, "c.1-7.json": b"{}"})
    (fox,) = read(tmp_path)
    assert (fox.id, fox.text, fox.language, fox.speaker) == ("c.1-7", "one fox", "en", "p")
    assert fox.segment == Segment(0.25, 0.5) and fox.read() == SPEECH
    with pytest.raises(BadInput, match=r"Lhotse Shar\); give the folder"):
        read(cuts)
    cuts.write_bytes(gzip.compress(cut("other").encode()))
    with pytest.raises(BadInput, match=r"'other' has no recording in recording\.000000\.tar"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        (sample("a", text="x") | {"a.wav": SPEECH}, "a has the recordings a.flac and a.wav"),
        (sample("a", text="x") | {"a.txt": b"y"}, 'a.txt says "y", and a.json "x"'),
        (sample("a", Text="x"), "a.json: the key 'Text' is not read"),
        ({"a.flac": SPEECH, "a.json": b"{"}, "a.json: not JSON"),
        ({"a.flac": SPEECH, "a.txt": b"\xff"}, "a.txt is not UTF-8"),
    ],
)
def test_a_sample_that_is_not_clear_is_named(
    tmp_path: Path, members: dict[str, bytes], reason: str
) -> None:
    with pytest.raises(BadInput) as caught:
        read(shard(tmp_path / "s.tar", members))
    assert reason in str(caught.value) and str(tmp_path / "s.tar") in str(caught.value)


@pytest.mark.parametrize("kept", [300, 700, 1_200])
def test_half_an_archive_is_named(tmp_path: Path, kept: int) -> None:
    file = shard(tmp_path / "s.tar", sample("a", text="x"))
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(BadInput, match=r"s\.tar .*copy it again"):
        read(file)


def test_archives_that_have_to_be_unpacked_are_named(tmp_path: Path) -> None:
    shard(tmp_path / "s.tar", sample("a", text="x"))
    (tmp_path / "s.tar").rename(tmp_path / "s.tar.gz")
    with pytest.raises(BadInput, match=r"unpack s\.tar\.gz"):
        read(tmp_path)
    with pytest.raises(BadInput, match="compressed archive"):
        read(tmp_path / "s.tar.gz")
