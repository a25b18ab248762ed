"""Corpora are read as their authors publish them, or refused by name before any codec loads.

Each layout is written here with the file names, line formats and extra files of the publication,
as Lhotse's recipes read them.
"""

import gzip
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import soundfile
from datasets import Dataset
from pyarrow import parquet

from support.corpora import (
    AISHELL3,
    AUDIO_FOLDER,
    COMMON_VOICE,
    EMILIA,
    EMILIA_LISTS,
    KALDI,
    LIBRISPEECH,
    LIBRITTS,
    LJSPEECH,
    VCTK,
    WENETSPEECH4TTS,
    Files,
)
from ttsrl.audio.io import read_mono
from ttsrl.codecs.tiny import TinyCodec
from ttsrl.data.encode import EncodeOptions, encode
from ttsrl.data.fields import Keys
from ttsrl.data.layouts.registry import layout_named
from ttsrl.data.recordings import Recording, read_recordings
from ttsrl.data.sources import read_rows
from ttsrl.errors import BadInput
from ttsrl.scorers.reference import voice


def make(folder: Path, files: Files) -> Path:
    """Write a corpus; recordings are names with an empty content."""
    for name, content in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def read(source: Path, layout: str = "auto", **columns: str) -> list[Recording]:
    return read_recordings(source, columns, None, layout_named(layout)).recordings


def said(source: Path, layout: str = "auto") -> dict[str, str | None]:
    return {r.id: r.text for r in read(source, layout)}


LAYOUTS: list[tuple[str, Files, dict[str, str | None]]] = [
    ("libritts", LIBRITTS, {"train/84/121123/84_121123_000007_000001": "Maximilian had two."}),
    (
        "librispeech",
        LIBRISPEECH,
        {"84/121123/84-121123-0000": "GO DO YOU HEAR", "84/121123/84-121123-0001": "BUT IN"},
    ),
    (
        "ljspeech",
        LJSPEECH,
        {"wavs/LJ001-0001": 'In fourteen fifty-five, "so', "wavs/LJ001-0002": "Yes"},
    ),
    (
        "vctk",
        VCTK,
        {
            "wav48_silence_trimmed/p225/p225_001_mic1": "Please call Stella.",
            "wav48_silence_trimmed/p225/p225_001_mic2": "Please call Stella.",
            "wav48_silence_trimmed/p315/p315_001_mic1": None,
        },
    ),
    (
        "aishell3",
        AISHELL3,
        {"train/wav/SSB0005/SSB00050001": "广州", "train/wav/SSB0005/SSB00050002": "女儿"},
    ),
    ("common-voice", COMMON_VOICE, {"pt/clips/a": '"Sim", disse', "pt/clips/b": "Não"}),
    ("emilia", EMILIA, {"DE_B00000_S00000_W000029": "Und es gibt."}),
    ("emilia", EMILIA_LISTS, {"EN_B00000_S00000_W000000": "A plan."}),
    ("wenetspeech4tts", WENETSPEECH4TTS, {"Premium/0/wavs/X01_S00037-S00038": "我们走吧。"}),
    ("kaldi", KALDI, {"u1": "ten of clubs", "u2": "four", "u3": None}),
    ("audiofolder", AUDIO_FOLDER, {"test/data/b": "seven", "train/a": "four, queen of clubs"}),
]


@pytest.mark.parametrize(
    ("layout", "files", "expected"), LAYOUTS, ids=[f"{n}-{i}" for i, (n, *_) in enumerate(LAYOUTS)]
)
def test_a_corpus_is_read_as_its_authors_wrote_it(
    tmp_path: Path, layout: str, files: Files, expected: dict[str, str | None]
) -> None:
    corpus = make(tmp_path / "corpus", files)
    assert said(corpus) == said(corpus, layout) == expected
    # One folder above it lies in a folder of its own.
    assert sorted(map(str, said(tmp_path).values())) == sorted(map(str, expected.values()))
    found = read_recordings(corpus, {}, None)
    assert found.survey.unread == ()
    assert f"{len(expected)} recordings, " in str(found.survey)


def test_speakers_languages_and_parts_are_those_of_the_corpus(tmp_path: Path) -> None:
    def facts(files: Files, name: str) -> list[tuple[str | None, str | None]]:
        return [(r.speaker, r.language) for r in read(make(tmp_path / name, files))]

    assert facts(AISHELL3, "a") == [("SSB0005", "zh")] * 2
    assert facts(VCTK, "v")[:1] == [("p225", None)]
    assert facts(COMMON_VOICE, "c") == [("0f", "pt"), ("1a", "pt")]
    assert facts(EMILIA, "e") == [("DE_B00000_S00000", "de")]
    assert facts(WENETSPEECH4TTS, "w") == [(None, "zh")]
    assert facts(KALDI, "k")[1:] == [("s1", "en"), ("s1", "en")] or facts(KALDI, "k")[0][0] == "s2"
    parts = {r.id: r.segment for r in read(tmp_path / "k")}
    assert [(s.offset_s, s.duration_s) for s in (parts["u1"], parts["u2"])] == [
        (0.0, 1.25), (1.25, None),
    ]  # fmt: skip
    assert Path(str(read(tmp_path / "k")[1].read())).is_file()


def barred(*lines: str) -> Files:
    table = "".join(f"{line}\n" for line in lines)
    return {"metadata.csv": table, **{f"wavs/{n}.wav": "" for n in "abc"}}


LONG = "9" * 5_000
"""No file can have such a name."""
REFUSED: dict[str, tuple[Files, str]] = {
    "a name that is too long in wav.scp": (
        {"wav.scp": f"a wav/{LONG}.wav\n", "in.wav": ""},
        r"none of its 1 recordings is there",
    ),
    "a path that is too long": (
        {"metadata.csv": f"file_name,text\n/{LONG}.wav,ten\n", "a.wav": ""},
        r"none of its 1 lines names a recording",
    ),
    "a speaker in the third column": (
        barred("a|ten of clubs|coqui", "b|four|coqui", "c|seven|other"),
        r'third column, such as "coqui", .* write a first line that names the columns',
    ),
    "durations in the third column": (
        barred("a|ten of clubs|1.25", "b|four of them|2.5", "c|seven|0.75"),
        "third column",
    ),
    "four columns": (barred("wavs/a.wav|ten|Ten|s", "b|f|F|s"), "4 values between bars"),
    "a bar in a text": (barred("a|ten", "b|four | five"), r"metadata\.csv:2: 3 values"),
    "no line matches": (
        barred("x|ten", "y|four"),
        r'none of its 2 lines names a recording in .*; the first is "x"',
    ),
    "no file_name": (
        {"metadata.csv": "clip,text\na.wav,ten\n", "a.wav": ""},
        r"metadata\.csv:2: .* names no recording; give each row a file_name",
    ),
    "two texts": (
        {"metadata.csv": "file_name,text\na.wav,ten\n", "a.wav": "", "a.txt": "eleven"},
        r'a\.wav has two texts: "eleven" in .*a\.txt, and "ten" in .*metadata\.csv; choose one',
    ),
    "twins": ({"o.wav": "", "o.mp3": ""}, r"o\.wav and .*o\.mp3 would both be 'o'; remove"),
    "a name of two": (
        {"metadata.csv": "a|ten\n", "x/a.wav": "", "y/a.wav": ""},
        r"metadata\.csv:1: 'a' may be x/a\.wav and y/a\.wav; give the path",
    ),
    "a pipe": (
        {"wav.scp": "a sox in.wav -t wav - |\n", "text": "a b\n", "in.wav": ""},
        r'wav\.scp:1: "sox .*" is a command, and commands are not run',
    ),
    "an archive": (
        {"wav.scp": "a data/raw.1.ark:17\n", "in.wav": ""},
        r"wav\.scp:1: .* is in Kaldi's archive format",
    ),
    "no recording of wav.scp": (
        {"wav.scp": "a wav/gone.wav\n", "in.wav": ""},
        r"wav\.scp: none of its 1 recordings is there; the first is .*gone\.wav",
    ),
    "other utterances in text": (
        {"wav.scp": "a in.wav\n", "text": "b ten\n", "in.wav": ""},
        r"text: none of its 1 utterances is in wav\.scp; the first is 'b'",
    ),
    "an unknown recording in segments": (
        {"wav.scp": "a in.wav\n", "segments": "u b 0 1\n", "in.wav": ""},
        "u is of the recording b, which is not in wav.scp",
    ),
    "no pinyin": (
        {"content.txt": "a.wav\t你好\n", "a.wav": ""},
        r"content\.txt:1: .* is not characters and their pinyin by turns",
    ),
    "no header": (
        {"metadata.csv": "a.wav,ten of clubs\nb.wav,four\n", "a.wav": "", "b.wav": ""},
        r'its first line names the recording "a\.wav", and should name the columns',
    ),
    "MuST-C": (
        {
            "data/train/txt/train.yaml": "- {duration: 1.0, offset: 0.0, wav: ted_1.wav}\n",
            "data/train/txt/train.en": "Thank you.\n",
            "data/train/wav/ted_1.wav": "",
        },
        r"none of 1 recordings .* and data/train/txt/train\.en, .*train\.yaml was not understood",
    ),
    "data set without its state": (
        {"data-00000-of-00001.arrow": b"ARROW1\0\0", "dataset_info.json": "{}"},
        r"holds no recording; .*; data-00000-of-00001\.arrow was not understood",
    ),
    "only candidates": (
        {"a.wav": "", "labels.lst": "a ten", "list.jsonl": "{}", "README.md": "hello"},
        r"none of 1 recordings in .* has a transcript, and .*labels\.lst.* --layout none",
    ),
    "VCTK without recordings": (
        {"txt/p1/p1_001.txt": "ten", "a.wav": ""},
        "no recording has the name of any of its 1 texts",
    ),
    "an offset under another name": (
        {"metadata.jsonl": '{"file_name": "a.wav", "text": "a", "start": 1.5}', "a.wav": ""},
        r"start = 1\.5 would choose a part of the recording, and is not read; give offset",
    ),
    "a key in capitals": (
        {"metadata.csv": "file_name,Text\na.wav,ten\n", "a.wav": ""},
        r"the key 'Text' is not read, and looks like 'text'; rename it",
    ),
    "two columns for the text": (
        {"metadata.csv": "file_name,sentence,transcript\na.wav,ten,2\n", "a.wav": ""},
        r"'transcript' and 'sentence' may both be the text",
    ),
    "milliseconds": (
        {"metadata.csv": "file_name,text,duration_ms\na.wav,ten,2\n", "a.wav": ""},
        r"the key 'duration_ms' is not read, and looks like 'duration_s'",
    ),
}


@pytest.mark.parametrize(("files", "said_"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_understood_is_refused_by_name(
    tmp_path: Path, files: Files, said_: str
) -> None:
    with pytest.raises(BadInput, match=said_):
        read(make(tmp_path, files))


def test_a_layout_or_a_column_that_is_named_decides(tmp_path: Path) -> None:
    files = barred("a|1|one hundred", "b|2|two hundred", "c|3|three hundred")
    corpus = make(tmp_path / "a", {**files, "wavs/a.txt": "another"})
    with pytest.raises(BadInput, match=r"has two texts"):
        read(corpus)
    assert said(corpus, "ljspeech")["wavs/a"] == "one hundred"
    assert said(corpus, "beside") == {"wavs/a": "another", "wavs/b": None, "wavs/c": None}
    assert set(said(corpus, "none").values()) == {None}
    with pytest.raises(BadInput, match="is not in the layout kaldi"):
        read(corpus, "kaldi")
    with pytest.raises(BadInput, match="--layout kaldi is for a corpus's folder"):
        read(corpus / "metadata.csv", "kaldi")
    header = {"metadata.csv": "audio_file|text|speaker_name\nwavs/a.wav|ten of clubs|coqui\n"}
    (recording, *_) = read(make(tmp_path / "b", {**header, "wavs/a.wav": ""}))
    assert (recording.text, recording.speaker) == ("ten of clubs", "coqui")
    two = {"metadata.csv": "file_name,sentence,transcript\na.wav,ten,2\n", "a.wav": ""}
    assert read(make(tmp_path / "c", two), text="sentence")[0].text == "ten"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.stm", "a 1 spk 0.0 1.0 <o,f0,male> ten\n"), ("a.ctm", "a 1 0.0 0.5 ten\n"),
        ("a.TextGrid", 'File type = "ooTextFile"\n'), ("a.eaf", "<ANNOTATION_DOCUMENT/>"),
        ("a.srt", "1\n00:00:00,000 --> 00:00:01,000\nten\n"), ("a.vtt", "WEBVTT\n"),
        ("a.trn", "ten (a)\n"), ("a.lab", "ten\n"), ("a.wrd", "0 100 ten\n"), ("a.cha", "@Begin\n"),
        ("PROMPTS", "a ten\n"), ("etc/prompts-original", "a ten\n"), ("utts.data", '( a "ten" )\n'),
        ("a.ort", "zehn\n"), ("a.psv", "a|ten\n"), ("a.new", "тысяча" * 200), ("x.docx", b"PK\3\4"),
        ("list.gz", gzip.compress(b"a ten\n", mtime=0)),
    ],
)  # fmt: skip
def test_a_list_of_any_kind_is_named(tmp_path: Path, name: str, content: str | bytes) -> None:
    corpus = make(tmp_path, {name: content, "a.wav": ""})
    with pytest.raises(BadInput, match=f"none of 1 recordings .* {name} was not understood"):
        read(corpus)
    assert [r.text for r in read(corpus, "none")] == [None]


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.f0", "1 2"), ("run.sh", "ls"), ("a.npy", b"\x93NUMPY\0\1"), ("m.bin", b"\0\0")],
)
def test_what_is_no_list_is_left_alone(tmp_path: Path, name: str, content: str | bytes) -> None:
    found = read_recordings(make(tmp_path, {name: content, "b.wav": ""}), {}, None)
    assert found.survey.unread == ()


def test_a_survey_tells_where_texts_are_and_what_was_not_read(tmp_path: Path) -> None:
    files = {f"{n}.wav": "" for n in "abcdef"} | {f"{n}.txt": "ten" for n in "abcd"}
    files |= {"labels/x.lab": "0 1 sil", "labels/y.lab": "0 1 sil", "old.csv": "?"}
    files |= {"LICENSE.txt": "CC", ".cache/z.csv": "?"}
    survey = str(read_recordings(make(tmp_path, files), {}, None).survey)
    assert survey.split("\n") == [
        "6 recordings, 4 with a transcript, from a.txt and 3 more *.txt",
        f'{tmp_path}/a.wav says "ten"',
        "not read: old.csv, labels/x.lab, labels/y.lab",
    ]
    some = barred("a|ten", "x|no such", "y|no such")
    notes = str(read_recordings(make(tmp_path / "n", some), {}, None).survey)
    assert "metadata.csv: 2 lines name no recording; the first is" in notes


def cut(**changed: object) -> dict[str, object]:
    """A cut as Lhotse 1.33 writes it."""
    source = {"type": "file", "channels": [0], "source": "long.wav"}
    recording = {"id": "long", "sources": [source], "sampling_rate": 16000, "num_samples": 64000,
                 "duration": 4.0, "channel_ids": [0]}  # fmt: skip
    supervision = {"id": "s1", "recording_id": "long", "start": 0.0, "duration": 1.5, "channel": 0,
                   "text": "ten of clubs", "language": "Chinese", "speaker": "x"}  # fmt: skip
    return {"id": "c1", "start": 2.0, "duration": 1.5, "channel": 0, "supervisions": [supervision],
            "recording": recording, "type": "MonoCut"} | changed  # fmt: skip


def test_lhotse_s_cuts_are_parts_with_their_text(tmp_path: Path) -> None:
    make(tmp_path, {"long.wav": "", "cuts.jsonl.gz": gzip.compress(json.dumps(cut()).encode())})
    (recording,) = read(tmp_path / "cuts.jsonl.gz")
    assert (recording.id, recording.text, recording.language) == ("c1", "ten of clubs", "zh")
    assert (recording.segment.offset_s, recording.segment.duration_s) == (2.0, 1.5)
    two = [{"start": 0.0, "duration": 0.5, "text": "a"}, {"start": 0.5, "duration": 1, "text": "b"}]
    longer = [{"start": -0.5, "duration": 2.0, "text": "a b"}]
    inside = [{"start": 0.25, "duration": 1.0, "text": "a"}]
    command = {"id": "r", "sources": [{"type": "command", "channels": [0], "source": "sox"}]}
    stereo = {"id": "r", "sources": [{"type": "file", "channels": [0, 1], "source": "long.wav"}]}
    faster = {**stereo, "transforms": [{"name": "Speed"}]}
    faster["sources"] = [{"type": "file", "channels": [0], "source": "long.wav"}]
    for changed, said_ in [
        (cut(type="MixedCut"), "a MixedCut is not one recording's part"),
        (cut(supervisions=two), "'c1' has 2 supervisions, and one text is read"),
        (cut(supervisions=longer), "ends before its supervision does"),
        (cut(recording=command), "has its recording as command, and only one file is read"),
        (cut(recording=stereo), "one of the 2 channels of long.wav"),
        (cut(recording=faster), "changes its recording"),
        (cut(start=None), "start: Input should be a valid number"),
    ]:
        make(tmp_path, {"cuts.jsonl": json.dumps(changed)})
        with pytest.raises(BadInput, match=rf"cuts\.jsonl:1: .*{said_}"):
            read(tmp_path / "cuts.jsonl")
    make(tmp_path, {"cuts.jsonl": json.dumps(cut(supervisions=inside))})
    (recording,) = read(tmp_path / "cuts.jsonl")
    assert (recording.segment.offset_s, recording.segment.duration_s) == (2.25, 1.0)


def test_the_part_that_a_manifest_names_is_encoded(tmp_path: Path) -> None:
    samples = np.concatenate([voice(1.5), voice(0.5, pitch_hz=220), voice(1.0, pitch_hz=300)])
    soundfile.write(tmp_path / "long.wav", samples, 16_000)
    soundfile.write(tmp_path / "cut.wav", samples[24_000:32_000], 16_000)
    lines = [
        {
            "audio_filepath": "long.wav",
            "offset": 1.5,
            "duration": 0.5,
            "text": "a",
            "lang": "en-US",
        },
        {"audio_filepath": "long.wav", "offset": 0.0, "duration": 1.5, "text": "b"},
        {"audio_filepath": "cut.wav", "duration": 0.5, "text": "c"},
        {"audio_filepath": "long.wav", "duration": 1.5, "text": "d", "id": "told"},
        {"audio_filepath": "long.wav", "offset": 2.5, "duration": 9.0, "text": "e", "id": "beyond"},
        {"audio_filepath": "gone.wav", "text": "f"},
    ]
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    surveys: list[str] = []
    options = EncodeOptions(min_duration_s=0.1)
    encode(str(manifest), "examples/tiny/codec", tmp_path / "out", options, device="cpu",
           on_survey=lambda survey: surveys.append(str(survey)))  # fmt: skip
    assert surveys[0].startswith("6 recordings, 6 with a transcript, from ")
    (file,) = (tmp_path / "out").rglob("*.parquet")
    rows = {row["text"]: row for row in parquet.read_table(file).to_pylist()}
    assert {text: row["duration_s"] for text, row in rows.items()} == {"a": 0.5, "b": 1.5, "c": 0.5}
    assert rows["a"]["id"] == "long-0001500" and rows["a"]["language"] == "en"
    codec = TinyCodec.load("examples/tiny/codec")
    (tokens,) = codec.encode([read_mono(tmp_path / "cut.wav", 16_000)])
    assert rows["a"]["speech_tokens"] == rows["c"]["speech_tokens"] == tokens
    skipped = (tmp_path / "out/skipped.jsonl").read_text()
    assert "its row says that it lasts 1.50 s, and the file has 3.00 s; give an offset" in skipped
    assert "the segment from 2.50 s to 11.50 s" in skipped and "no such file" in skipped


def test_paths_of_tables_are_from_their_folder(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "one.wav", voice(0.5), 16_000)
    rows = [{"audio": "one.wav", "text": "a"}, {"audio": "./one.wav", "text": "b"}]
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet")
    structs = pa.array([{"bytes": None, "path": "one.wav"}])
    (tmp_path / "sub").mkdir()
    soundfile.write(tmp_path / "sub/one.wav", voice(0.5), 16_000)
    parquet.write_table(pa.table({"audio": structs}), tmp_path / "sub/t.parquet")
    assert {r.read() for r in read(tmp_path / "t.parquet")} == {tmp_path / "one.wav"}
    assert {r.read() for r in read(tmp_path / "sub")} == {tmp_path / "sub/one.wav"}
    make(tmp_path, {"t.csv": "audio,text\none.wav,ten\n", "none.jsonl": '{"audio": "x.wav"}'})
    assert [(r.id, r.text) for r in read(tmp_path / "t.csv")] == [("one", "ten")]
    with pytest.raises(BadInput, match=r"none of the 1 recordings that it names is there"):
        read(tmp_path / "none.jsonl")


def test_a_damaged_page_names_its_file(tmp_path: Path) -> None:
    texts = pa.table({"text": [f"text {n} {n * 7919}" for n in range(5000)], "audio": [b""] * 5000})
    file = tmp_path / "t.parquet"
    parquet.write_table(texts, file, compression="zstd", use_dictionary=False)
    content = bytearray(file.read_bytes())
    content[200:6_000] = bytes(5_800)
    file.write_bytes(content)
    with pytest.raises(BadInput, match=r"t\.parquet is damaged: .*; copy it again"):
        read(file)


def test_a_damaged_data_set_is_named_whatever_arrow_makes_of_it(tmp_path: Path) -> None:
    texts = [f"text {n}" for n in range(300)]
    Dataset.from_list([{"text": text} for text in texts]).save_to_disk(tmp_path / "set")
    (file,) = (tmp_path / "set").glob("*.arrow")
    content = file.read_bytes()
    ends = np.cumsum([0, *map(len, texts)], dtype="<i4").tobytes()
    assert content.count(ends[:40]) == 1
    at = content.index(ends[:40]) + 8
    file.write_bytes(content[:at] + b"\xff" * 8 + content[at + 8 :])
    with pytest.raises(BadInput, match=r"set is damaged: .*; copy it again"):
        list(read_rows(tmp_path / "set", Keys(("text",)), needed="text"))


def test_common_voice_s_table_alone_has_its_clips_beside_it(tmp_path: Path) -> None:
    corpus = make(tmp_path, COMMON_VOICE)
    assert [(r.id, r.text, r.speaker, r.language) for r in read(corpus / "pt/train.tsv")] == [
        ("b", "Não", "1a", "pt")
    ]


@pytest.mark.parametrize("name", ["zh-HK", "zh_hk"])
def test_a_tag_that_may_be_two_languages_is_refused(tmp_path: Path, name: str) -> None:
    make(tmp_path, {"a.wav": "", "l.jsonl": json.dumps({"audio": "a.wav", "language": name})})
    with pytest.raises(BadInput, match="may be Cantonese or Mandarin; write 'yue' or 'zh'"):
        read(tmp_path / "l.jsonl")
