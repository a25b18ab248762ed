"""Whole inputs of `make fuzz-data`: corpora as they are published, texts, clips, and sounds."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import soundfile
from pyarrow import parquet

from support import corpora
from support.audio_files import FFMPEG, RATE_HZ, SNDFILE, audio_file
from support.paths import ROOT
from support.reward_server import utterances
from ttsrl.audio.io import Segment, read_mono
from ttsrl.codecs.tiny import TinyCodec

Write = Callable[[Path], Path]
"""Writes an input into a folder; returns what the command gets."""

NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
LINES = [f"{a} {b} {c}" for a in NUMBERS[:5] for b in NUMBERS for c in NUMBERS[:2]]


def _sound(suffix: str, number: int = 0) -> bytes:
    """A person's speech, in a file of the kind that ends so."""
    kind = next((k for k in (*SNDFILE, *FFMPEG) if k.endswith(suffix)), "pcm.wav")
    rate_hz = 8_000 if "gsm" in kind else RATE_HZ
    clip = sorted((ROOT / "ttsrl/data/clips").glob("*.flac"))[number % 5]
    return audio_file(kind, read_mono(clip, rate_hz, Segment(0.4, 1.0 + 0.1 * number)), rate_hz)


def _corpus(files: corpora.Files) -> Write:
    def write(folder: Path) -> Path:
        for number, (name, content) in enumerate(files.items()):
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            data = content.encode() if isinstance(content, str) else content
            file.write_bytes(data or _sound(file.suffix, number % 4))
        return folder

    return write


def _listed(folder: Path, key: str) -> list[dict[str, object]]:
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, object]] = []
    for number, suffix in enumerate((".wav", ".flac", ".opus", "xing.mp3", ".m4a", "gsm.wav")):
        name = f"{number}{Path('x' + suffix).suffix}"
        (folder / name).write_bytes(_sound(suffix, number))
        rows.append({key: name, "text": LINES[number], "id": f"r{number}"})
    return rows


def _json_lines(file: Path, rows: list[dict[str, object]]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return file


def _manifest(folder: Path) -> Path:
    rows = _listed(folder, "audio_filepath")
    for row in rows:
        row |= {"offset": 0.1, "duration": 0.3, "lang": "en"}
    return _json_lines(folder / "manifest.jsonl", rows)


def _audio_table(folder: Path) -> Path:
    rows = _listed(folder / "clips", "audio")
    for row in rows:
        path = folder / "clips" / str(row["audio"])
        row["audio"] = {"bytes": path.read_bytes(), "path": None}
    shutil.rmtree(folder / "clips")
    parquet.write_table(pa.Table.from_pylist(rows), folder / "0.parquet", row_group_size=2)
    return folder


def _audio_paths(folder: Path) -> Path:
    parquet.write_table(pa.Table.from_pylist(_listed(folder, "audio")), folder / "0.parquet")
    return folder


def _data_set(folder: Path) -> Path:
    from datasets import Audio, Dataset

    rows = _listed(folder / "clips", "audio")
    for row in rows:
        row["audio"] = str(folder / "clips" / str(row["audio"]))
    data = Dataset.from_list(rows).cast_column("audio", Audio(decode=False))
    data.save_to_disk(folder / "set")
    return folder / "set"


def _shard(folder: Path) -> Path:
    rows = _listed(folder / "clips", "audio")
    with tarfile.open(folder / "0.tar", "w") as tar:
        for row in rows:
            name = Path(str(row.pop("audio")))
            tar.add(folder / "clips" / name, arcname=f"{row['id']}{name.suffix}")
            (folder / "described").write_text(json.dumps(row | {"language": "en"}))
            tar.add(folder / "described", arcname=f"{row['id']}.json")
    (folder / "described").unlink()
    shutil.rmtree(folder / "clips")
    return folder


def _shar(folder: Path) -> Path:
    cuts: list[dict[str, object]] = []
    rows = _listed(folder / "clips", "audio")
    with tarfile.open(folder / "recording.000000.tar", "w") as tar:
        for row in rows:
            name = Path(str(row["audio"]))
            tar.add(folder / "clips" / name, arcname=f"{row['id']}{name.suffix}")
            said = _supervision(str(row["id"]), str(row["text"]))
            recording = _recording(str(row["id"]), {"type": "shar", "source": ""})
            cut = {"id": row["id"], "start": 0, "duration": 1.0, "channel": 0, "type": "MonoCut"}
            cuts.append(cut | {"supervisions": [said], "recording": recording})
    shutil.rmtree(folder / "clips")
    _json_lines(folder / "cuts.000000.jsonl", cuts)
    return folder


def _lhotse(folder: Path) -> Path:
    rows = _listed(folder, "audio")
    recordings = [
        _recording(str(row["id"]), {"type": "file", "source": row["audio"]}) for row in rows
    ]
    said = [_supervision(str(row["id"]), str(row["text"])) for row in rows]
    _json_lines(folder / "x_recordings_all.jsonl", recordings)
    _json_lines(folder / "x_supervisions_all.jsonl", said)
    return folder


def _recording(name: str, source: dict[str, object]) -> dict[str, object]:
    sources = [source | {"channels": [0]}]
    return {"id": name, "sources": sources, "sampling_rate": RATE_HZ, "duration": 1.0}


def _supervision(name: str, text: str) -> dict[str, object]:
    part: dict[str, object] = {"start": 0.1, "duration": 0.5, "channel": 0}
    return {"id": f"s{name}", "recording_id": name, "text": text, "language": "English"} | part


def _filelist(folder: Path) -> Path:
    rows = _listed(folder, "audio")
    (folder / "x.list").write_text("".join(f"{r['audio']}|ann|EN|{r['text']}\n" for r in rows))
    return folder / "x.list"


def _array(folder: Path) -> Path:
    (rows := _listed(folder, "audio"))[0]["language"] = "en"
    (folder / "all.json").write_text(json.dumps(rows, indent=1))
    return folder / "all.json"


CORPORA: Mapping[str, Write] = {
    name.lower(): _corpus(value)
    for name, value in vars(corpora).items()
    if name.isupper() and isinstance(value, dict)
} | {
    "manifest": _manifest,
    "audio table": _audio_table,
    "audio paths": _audio_paths,
    "data set": _data_set,
    "shard": _shard,
    "shar": _shar,
    "lhotse": _lhotse,
    "list with bars": _filelist,
    "array": _array,
}


def _texts(folder: Path) -> Path:
    rows: list[dict[str, object]] = [
        {"text": text, "id": str(n), "language": "en", "duration_s": 1.5}
        for n, text in enumerate(LINES)
    ]
    return _json_lines(folder / "texts.jsonl", rows)


def _plain(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "texts.txt").write_text("\n".join(LINES) + "\n")
    return folder / "texts.txt"


def _text_table(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rows = [{"text": text, "id": str(n)} for n, text in enumerate(LINES)]
    parquet.write_table(pa.Table.from_pylist(rows), folder / "0.parquet", row_group_size=20)
    return folder


def _text_data_set(folder: Path) -> Path:
    from datasets import Dataset

    Dataset.from_list([{"text": text} for text in LINES]).save_to_disk(folder / "set")
    return folder / "set"


TEXTS: Mapping[str, Write] = {
    "texts.jsonl": _texts,
    "texts.txt": _plain,
    "text table": _text_table,
    "text data set": _text_data_set,
}


def _clips(folder: Path) -> Path:
    """Speech of the tiny codec that says its texts: an audit takes it as it is."""
    folder.mkdir(parents=True, exist_ok=True)
    codec = TinyCodec.load(str(ROOT / "examples/tiny/codec"))
    rows: list[dict[str, object]] = []
    for number, item in enumerate(utterances(2)):
        buffer = io.BytesIO()
        (waveform,) = codec.decode([item.speech_tokens])
        kind = ("WAV", "FLOAT") if number else ("FLAC", "PCM_24")
        soundfile.write(
            buffer, np.asarray(waveform), codec.sample_rate_hz, format=kind[0], subtype=kind[1]
        )
        name = f"{number}.{kind[0].lower()}"
        (folder / name).write_bytes(buffer.getvalue())
        rows.append({"text": item.text, "wav": name})
    return _json_lines(folder / "clips.jsonl", rows)


CLIPS: Mapping[str, Write] = {"clips": _clips}


def _one_sound(kind: str) -> Write:
    def write(folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / kind).write_bytes(_sound(kind))
        return folder

    return write


SOUNDS: Mapping[str, Write] = {kind: _one_sound(kind) for kind in (*SNDFILE, *FFMPEG)}


class Seeds:
    """Each input is written once and then copied."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._written: dict[Write, tuple[Path, Path]] = {}

    def copy(self, write: Write, to: Path) -> Path:
        """A fresh copy of an input; returns what the command gets."""
        if write not in self._written:
            place = self._folder / str(len(self._written))
            place.mkdir(parents=True)
            self._written[write] = place, write(place).relative_to(place)
        place, given = self._written[write]
        shutil.copytree(place, to)
        return to / given
