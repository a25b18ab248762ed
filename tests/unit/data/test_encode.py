"""Recordings become speech tokens: the real codec of the tiny stack, real audio files, every source
that a corpus comes in, and every way a recording can be bad.
"""

import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import soundfile
from datasets import Audio, Dataset, load_dataset
from pyarrow import parquet

from ttsrl.audio.io import read_mono
from ttsrl.codecs.tiny import TinyCodec
from ttsrl.data.encode import Encoded, EncodeOptions, encode
from ttsrl.data.recordings import read_recordings
from ttsrl.errors import BadInput
from ttsrl.scorers.reference import voice

CODEC = "examples/tiny/codec"
SECONDS = {"a": 0.5, "b": 1.3, "c": 0.9, "d": 2.1}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Recordings at four rates, in two formats, one of them stereo, in two folders."""
    source = tmp_path / "speech"
    (source / "two").mkdir(parents=True)
    for (name, seconds), rate_hz, suffix in zip(
        SECONDS.items(),
        (16_000, 24_000, 48_000, 8_000),
        ("wav", "flac", "WAV", "flac"),
        strict=True,
    ):
        samples = voice(seconds, rate_hz)
        sound = np.stack([samples, samples], 1) if name == "b" else samples
        below = "two" if name in "cd" else "."
        soundfile.write(source / below / f"{name}.{suffix}", sound, rate_hz)
    return source


def run(source: Path, out: Path, batch_s: float = 120.0, **options: object) -> Encoded:
    return encode(
        str(source),
        CODEC,
        out,
        EncodeOptions.model_validate(options),
        device="cpu",
        batch_s=batch_s,
    )


def rows(out: Path) -> list[dict[str, Any]]:
    files = sorted(out.rglob("*.parquet"))
    return [row for file in files for row in parquet.read_table(file).to_pylist()]


def skipped(out: Path) -> dict[str, str]:
    lines = (out / "skipped.jsonl").read_text().splitlines()
    return {row["id"]: row["reason"] for row in map(json.loads, lines)}


def test_a_folder_becomes_the_tokens_of_each_recording_alone(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    encoded = run(folder, out)
    assert (encoded.recordings, encoded.skipped, encoded.without_text) == (4, 0, 4)
    found = {row["id"]: row for row in rows(out)}
    assert list(found) == ["a", "b", "two/c", "two/d"]
    codec = TinyCodec.load(CODEC)
    for name, row in found.items():
        seconds = SECONDS[name[-1]]
        waveform = read_mono(Path(row["audio"]), 16_000)
        assert row["duration_s"] == pytest.approx(seconds, abs=0.001)
        assert row["speech_tokens"] == codec.encode([waveform])[0]
        assert len(row["speech_tokens"]) == -(-len(waveform) // 1_280)
    assert encoded.speech_tokens == sum(len(row["speech_tokens"]) for row in found.values())


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 22_050, 44_100, 48_000])
def test_channels_are_averaged_and_rates_converted(tmp_path: Path, rate_hz: int) -> None:
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(rate_hz) / rate_hz)
    soundfile.write(tmp_path / "tone.flac", np.stack([tone, 0 * tone], 1), rate_hz)
    waveform = read_mono(tmp_path / "tone.flac", 16_000)
    expected = 0.25 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    assert waveform.dtype == np.float32
    np.testing.assert_allclose(waveform[100:-100], expected[100:-100], atol=1e-3)


def test_the_output_loads_with_datasets_and_names_its_codec(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(folder, out, shard_size=3)
    for loaded in (
        load_dataset(str(out), split="train", cache_dir=str(tmp_path / "1")),
        load_dataset("parquet", data_dir=str(out), split="train", cache_dir=str(tmp_path / "2")),
    ):
        assert loaded["id"][:] == ["a", "b", "two/c", "two/d"]
        assert loaded.features["speech_tokens"].feature.dtype == "int32"
    (shard, _) = sorted(out.rglob("*.parquet"))
    facts = json.loads(parquet.read_schema(shard).metadata[b"ttsrl"])
    assert facts["codec"] | {"digest": ""} == {
        "name": CODEC, "digest": "", "codebook_size": 1_000, "sample_rate_hz": 16_000,
        "tokens_per_s": 12.5,
    }  # fmt: skip
    assert len(facts["codec"]["digest"]) == 64


def test_lists_parquet_and_data_sets_give_the_same_tokens(folder: Path, tmp_path: Path) -> None:
    names = ["a.wav", "b.flac", "two/c.WAV", "two/d.flac"]
    fields = [
        {"id": name[:-4], "text": f"text {i}", "language": "en", "speaker": str(i)}
        for i, name in enumerate(names)
    ]
    listing = folder / "list.jsonl"
    lines = [f | {"audio_filepath": name} for f, name in zip(fields, names, strict=True)]
    listing.write_text("".join(json.dumps(line) + "\n" for line in lines))
    contents = [{"bytes": (folder / name).read_bytes(), "path": None} for name in names]
    table = pa.Table.from_pylist(fields).append_column("clip", pa.array(contents))
    (tmp_path / "parquet").mkdir()
    parquet.write_table(table, tmp_path / "parquet" / "0.parquet", row_group_size=3)
    data_set = Dataset.from_list(
        [f | {"clip": str(folder / name)} for f, name in zip(fields, names, strict=True)]
    )
    data_set.cast_column("clip", Audio(decode=False)).save_to_disk(tmp_path / "set")
    run(listing, tmp_path / "1")
    run(tmp_path / "parquet", tmp_path / "2", columns={"audio": "clip"})
    run(tmp_path / "set", tmp_path / "3", columns={"audio": "clip"})
    expected = [row | {"audio": ""} for row in rows(tmp_path / "1")]
    assert [row["text"] for row in expected] == [f["text"] for f in fields]
    assert [row["speaker"] for row in expected] == ["0", "1", "2", "3"]
    for out in ("2", "3"):
        assert [row | {"audio": ""} for row in rows(tmp_path / out)] == expected


@pytest.mark.parametrize(
    ("files", "texts"),
    [
        ({"a.txt": " one\n"}, {"a": "one"}),
        ({"a.normalized.txt": "one", "a.txt": "1"}, {"a": "one"}),
        ({"two/x.trans.txt": "c three words here\nd four"}, {"c": "three words here", "d": "four"}),
        ({"metadata.csv": "a|1|one\nc|3|three\n"}, {"a": "one", "c": "three"}),
        (
            {"metadata.csv": 'file_name,text\na.wav,"one, two"\ntwo/d.flac,four\n'},
            {"a": "one, two", "d": "four"},
        ),
        ({"metadata.jsonl": '{"file_name": "two/d.flac", "text": "four"}\n'}, {"d": "four"}),
    ],
    ids=["sidecar", "LibriTTS", "LibriSpeech", "LJSpeech", "AudioFolder", "AudioFolder jsonl"],
)
def test_transcripts_are_found_as_corpora_write_them(
    folder: Path, tmp_path: Path, files: dict[str, str], texts: dict[str, str]
) -> None:
    for name, content in files.items():
        (folder / name).write_text(content)
    encoded = run(folder, tmp_path / "all")
    assert encoded.without_text == 4 - len(texts)
    found = {row["id"][-1]: row["text"] for row in rows(tmp_path / "all")}
    assert found == {name: texts.get(name) for name in SECONDS}
    run(folder, tmp_path / "said", require_text=True)
    assert {row["id"][-1] for row in rows(tmp_path / "said")} == set(texts)
    assert all("no text" in reason for reason in skipped(tmp_path / "said").values())


def test_a_recording_that_cannot_be_used_is_left_out_with_its_reason(
    folder: Path, tmp_path: Path
) -> None:
    whole = (folder / "a.wav").read_bytes()
    (folder / "cut.flac").write_bytes((folder / "b.flac").read_bytes()[:7_000])
    (folder / "header.wav").write_bytes(whole[:20])
    (folder / "nothing.wav").write_bytes(b"")
    (folder / "page.wav").write_text("<html>404</html>")
    soundfile.write(folder / "zero.wav", np.zeros(0), 16_000)
    soundfile.write(folder / "quiet.wav", np.zeros(16_000), 16_000)
    soundfile.write(folder / "long.wav", voice(3.5), 16_000)
    soundfile.write(folder / "nan.wav", np.full(16_000, np.nan), 16_000, subtype="FLOAT")
    listing = folder / "list.jsonl"
    every = [f for f in sorted(folder.iterdir()) if f.suffix in (".wav", ".flac")]
    lines = [{"audio": f.name} for f in every] + [{"audio": "gone.wav"}]
    listing.write_text("".join(json.dumps(line) + "\n" for line in lines))
    out = tmp_path / "out"
    encoded = run(listing, out, max_duration_s=3)
    assert {row["id"] for row in rows(out)} == {"a", "b"}
    reasons = skipped(out)
    assert encoded.skipped == len(reasons) == 9
    for name, said in {
        "cut": "damaged", "header": "damaged", "nothing": "not audio", "page": "not audio",
        "zero": "0.000 s, less than 0.1", "quiet": "silent", "long": "3.5 s, more than 3",
        "nan": "not numbers", "gone": "no such file",
    }.items():  # fmt: skip
        assert said in reasons[name], reasons[name]


def test_a_killed_run_goes_on_and_repeats_no_finished_shard(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(6):
        soundfile.write(folder / f"e{i}.wav", voice(0.5 + 0.1 * i), 16_000)
    (folder / "f.wav").write_text("broken")
    run(folder, tmp_path / "whole", shard_size=4)
    real = TinyCodec.encode
    heard: list[int] = []

    def killed(self: TinyCodec, waveforms: list[Any]) -> list[list[int]]:
        if len(heard) + len(waveforms) > 4:
            raise KeyboardInterrupt
        heard.extend(map(len, waveforms))
        return real(self, waveforms)

    out = tmp_path / "out"
    monkeypatch.setattr(TinyCodec, "encode", killed)
    with pytest.raises(KeyboardInterrupt):
        run(folder, out, shard_size=4)
    assert [f.name for f in (out / "data").iterdir()] == ["train-00000-of-00003.parquet"]
    again: list[int] = []
    monkeypatch.setattr(
        TinyCodec, "encode", lambda self, w: again.extend(map(len, w)) or real(self, w)
    )
    encoded = run(folder, out, shard_size=4)
    assert (len(heard), len(again), encoded.done_before) == (4, 6, 4)
    for name in sorted(f.relative_to(out) for f in out.rglob("*") if f.is_file()):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert run(folder, out, shard_size=4).done_before == 11


def test_batches_hold_neighbours_in_length_and_change_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(folder, tmp_path / "one")
    batches: list[list[int]] = []
    real = TinyCodec.encode
    monkeypatch.setattr(
        TinyCodec, "encode", lambda self, w: batches.append([len(x) for x in w]) or real(self, w)
    )
    run(folder, tmp_path / "some", batch_s=2)
    assert [[round(n / 1_600) for n in batch] for batch in batches] == [[5, 9], [13], [21]]
    assert rows(tmp_path / "some") == rows(tmp_path / "one")


def test_another_plan_is_not_mixed_into_a_folder(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(folder, out)
    with pytest.raises(BadInput, match="other max_duration_s"):
        run(folder, out, max_duration_s=1)
    soundfile.write(folder / "new.wav", voice(0.5), 16_000)
    with pytest.raises(BadInput, match="other listing_sha256, recordings"):
        run(folder, out)
    with pytest.raises(BadInput, match="did not begin it"):
        run(folder, folder)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("one.WAV", "one.WAV is a recording, and a list of recordings or a folder is wanted"),
        ("list.tsv", "list.tsv names no recording; it needs a line for each"),
        ("list.json", "list.json names no recording; it needs a line for each"),
    ],
)
def test_a_recording_or_an_empty_list_in_place_of_a_list(
    name: str, message: str, tmp_path: Path
) -> None:
    contents = {"one.WAV": b"RIFF\xac\x00", "list.tsv": b"audio\ttext\n", "list.json": b"[]"}
    (tmp_path / name).write_bytes(contents[name])
    with pytest.raises(BadInput, match=re.escape(message)):
        read_recordings(tmp_path / name, {}, None)


def test_sources_without_a_usable_recording_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    with pytest.raises(BadInput, match=r"no such file or folder: .*give a folder of audio files"):
        run(tmp_path / "nowhere", out)
    with pytest.raises(BadInput, match=r"holds no recording; .wav"):
        run(source, out)
    (source / "a.wav").write_text("broken")
    with pytest.raises(BadInput, match=r"none of 1 recordings can be used; .*a.wav: the fi"):
        run(source, out)
    assert not out.exists()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"text": "no path"}', "names no recording; give its path as 'audio'"),
        ('["a.wav"]', "not a JSON object"),
        ("a.wav", "not JSON"),
        ('{"audio": "a.wav", "language": "xx"}', "language 'xx' is not supported"),
        ('{"audio": "a.wav", "text": 3}', "text = 3 is not a text"),
        ('{"audio": "a.wav"}\n{"audio": "./a.wav", "id": "a"}', "the id 'a' stands at"),
    ],
)
def test_a_broken_list_is_refused_with_file_and_line(
    folder: Path, tmp_path: Path, line: str, said: str
) -> None:
    listing = folder / "list.jsonl"
    listing.write_text(line)
    with pytest.raises(BadInput, match=rf"list.jsonl:\d: .*{said}"):
        run(listing, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_data_set_of_the_hub_is_brought_here_by_its_id(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hub(name: str, kind: str) -> Path:  # it cannot be reached from a test
        if (name, kind) != ("owner/speech", "dataset"):
            raise BadInput(f"no {kind} at {name!r}: offline; give a folder")
        return folder

    monkeypatch.setattr("ttsrl.models.hub.download", hub)
    assert run(Path("owner/speech"), tmp_path / "out").recordings == 4
    with pytest.raises(BadInput, match=r"no dataset at 'owner/none': offline; give a folder"):
        run(Path("owner/none"), tmp_path / "none")


def test_unknown_columns_languages_and_codecs_are_refused(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(BadInput, match="no field 'txt' to read; did you mean 'text'"):
        run(folder, out, columns={"txt": "sentence"})
    with pytest.raises(BadInput, match="language 'english' is not supported; did you mean 'en'"):
        run(folder, out, language="english")
    with pytest.raises(BadInput, match=r"no codec at .*config.json is missing"):
        encode(str(folder), str(folder), out, EncodeOptions())
    buffer = io.BytesIO()
    soundfile.write(buffer, voice(0.5), 16_000, format="WAV")
    Dataset.from_list([{"sound": buffer.getvalue()}]).save_to_disk(tmp_path / "set")
    with pytest.raises(BadInput, match="no column 'audio' but sound"):
        run(tmp_path / "set", out)
