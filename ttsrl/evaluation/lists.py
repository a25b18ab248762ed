"""Lists of texts to speak, and of the recordings in whose voice: a reader for each format.

A reader checks form only; what a line names is looked at by `ttsrl.evaluation.suites`. Each raises
BadInput naming file and line.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ttsrl.audio.io import SUFFIXES
from ttsrl.config.evaluation import SuiteConfig
from ttsrl.data.fields import Keys
from ttsrl.data.sources import read_rows
from ttsrl.errors import BadInput, shorten
from ttsrl.lines.folders import is_file
from ttsrl.lines.text import lines_of

JSONL_KEYS = ("text", "language", "id", "prompt_text", "prompt_audio", "style", "label")


@dataclass(frozen=True)
class ListedText:
    """One line of a list."""

    place: str
    """File and line, for errors."""
    id: str | None
    text: str
    language: str
    prompt_text: str | None = None
    prompt_audio: Path | None = None
    style: str | None = None
    label: str | None = None


def read_list(suite: SuiteConfig) -> Iterator[ListedText]:
    """All lines in their order. Raises BadInput."""
    path = Path(suite.path)
    match suite.type:
        case "seed-tts-eval":
            return _meta_list(path, suite.language)
        case "cv3-eval":
            return _kaldi_folder(path, suite.language)
        case "jsonl":
            return _jsonl(path, suite.language)


def _meta_list(path: Path, language: str) -> Iterator[ListedText]:
    """Seed-TTS-eval: fields between bars, as get_wav_res_ref_text.py there takes them.

    name|text, name|text|audio, name|prompt text|audio|text, and with a fifth field, the recording
    of the text by its speaker, which is not used. Paths are relative to the list.
    """
    for place, line in _lines(path, "a meta list, such as zh/meta.lst"):
        fields = [field.strip() for field in line.split("|")]
        match fields:
            case [name, text]:
                prompt_text = audio = None
            case [name, text, audio] if _is_recording(audio):
                prompt_text = None
            case [name, prompt_text, audio, text] if _is_recording(audio):
                pass
            case [name, prompt_text, audio, text, own] if all(map(_is_recording, (audio, own))):
                pass
            case _:
                raise BadInput(
                    f"{place}: {len(fields)} fields between bars: {shorten(line)}; a line is "
                    "name|prompt text|prompt audio|text, a recording's name ends with one of "
                    f"{', '.join(SUFFIXES)}, and no text may contain a bar"
                )
        yield ListedText(
            place,
            name.removesuffix(".wav"),
            text,
            language,
            prompt_text,
            path.parent / audio if audio else None,
        )


def _is_recording(field: str) -> bool:
    return Path(field).suffix.lower() in SUFFIXES


def _kaldi_folder(folder: Path, language: str) -> Iterator[ListedText]:
    """CV3-Eval: `text`, `prompt_text` and `prompt_wav.scp`, a name and its value a line.

    Paths of prompt_wav.scp are relative to the folder above `data`, from where its scripts run.
    """
    if not folder.is_dir():
        raise BadInput(
            f"no such folder: {folder}; give one with text, prompt_text and prompt_wav.scp, such "
            "as data/zero_shot/zh of CV3-Eval"
        )
    texts, prompt_texts, recordings = (
        _kaldi(folder / name) for name in ("text", "prompt_text", "prompt_wav.scp")
    )
    root = next((d.parent for d in folder.resolve().parents if d.name == "data"), folder)
    for name, (place, text) in texts.items():
        for file, values in (("prompt_text", prompt_texts), ("prompt_wav.scp", recordings)):
            if name not in values:
                raise BadInput(f"{place}: {name} is not in {folder / file}; add it there")
        audio = recordings[name][1]
        yield ListedText(place, name, text, language, prompt_texts[name][1], root / audio)


def _kaldi(path: Path) -> dict[str, tuple[str, str]]:
    """Name -> (file:line, value)."""
    values: dict[str, tuple[str, str]] = {}
    for place, line in _lines(path, "a file of CV3-Eval with a name and its value a line"):
        name, *rest = line.split(maxsplit=1)
        if not rest:
            raise BadInput(f"{place}: no value after the name in {shorten(line)}")
        if name in values:
            raise BadInput(f"{place}: {name} stands at {values[name][0]} already")
        values[name] = place, rest[0]
    return values


def _jsonl(path: Path, language: str) -> Iterator[ListedText]:
    """Lines with `text` and optional `language`, `id`, `style`, `label`, `prompt_text`,
    `prompt_audio`."""
    for place, fields in read_rows(path, Keys(JSONL_KEYS), needed="text"):
        strings = {key: fields.get(key) for key in JSONL_KEYS}
        for key, value in strings.items():
            if value is not None and not isinstance(value, str):
                raise BadInput(f"{place}: {key} = {shorten(value)} is not a text")
        audio = strings["prompt_audio"]
        yield ListedText(
            place,
            strings["id"],
            strings["text"] or "",
            strings["language"] or language,
            strings["prompt_text"],
            path.parent / audio if audio else None,
            strings["style"] or None,
            strings["label"] or None,
        )


def _lines(path: Path, what: str) -> Iterator[tuple[str, str]]:
    """(file:line, line) of those that are not blank."""
    if not is_file(path):
        raise BadInput(f"no such file: {path}; give {what}")
    for place, line in lines_of(path):
        yield place, line.strip()
