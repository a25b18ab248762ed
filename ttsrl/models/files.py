"""Which files of a model are loaded: the only ones that are downloaded, and that decide a digest.

Repositories hold more: cards, licences, training logs, and the same weights for other programs
(openai/whisper-large-v3 has 25 GB, of which 3 are loaded).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import cast

from ttsrl.errors import BadInput, reason_of

SAFETENSORS, SAFETENSORS_INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLE, PICKLE_INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"
WEIGHTS = (SAFETENSORS, SAFETENSORS_INDEX, PICKLE, PICKLE_INDEX)
"""Weights that transformers loads: the first that is there. An index names further files."""

DESCRIBING = (
    "config.json", "generation_config.json",
    "preprocessor_config.json", "processor_config.json",
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "vocab.json", "vocab.txt", "merges.txt", "normalizer.json",
    "vocabulary.json", "vocabulary.txt",
    "tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "*.tiktoken", "tekken.json",
    "chat_template.jinja", "chat_template.json", "additional_chat_templates/*.jinja",
    "adapter_config.json", "adapter_model.safetensors",
)  # fmt: skip
"""What is read beside the weights: configurations, tokenizers, adapters."""

COSYVOICE3 = ("cosyvoice3.yaml", "speech_tokenizer_v3.onnx")
"""Files that a CosyVoice3 checkpoint has and a CosyVoice2 checkpoint has not."""
COSYVOICE = ("cosyvoice2.yaml", "flow.pt", "hift.pt", "speech_tokenizer_v2.onnx", *COSYVOICE3)
"""Files of which a checkpoint of CosyVoice2 or 3 has at least one."""
OF_VOICES = ("campplus.onnx", "spk2info.pt")
SHERPA = ("model.onnx", "model.int8.onnx")
"""Networks of sherpa-onnx: the first that is there is loaded."""
SHERPA_TOKENS = "tokens.txt"
HEAD = ("preference.json", "head.safetensors")

LFS_POINTER = b"version https://git-lfs"
"""What a file begins with that `git clone` has left without its content."""

ReadIndex = Callable[[str], Path]
"""Name of an index -> where it lies."""


def loaded_names(names: Collection[str], read_index: ReadIndex) -> list[str] | None:
    """Of a model's files those that are loaded, sorted; None where none of its kind is known.

    Raises BadInput for an index that cannot be read. What an index names is in the result whether
    it is among `names` or not.
    """
    if any(name in names for name in COSYVOICE):
        found = [name for name in (*COSYVOICE, *OF_VOICES) if name in names]
    elif SHERPA_TOKENS in names and (networks := [name for name in SHERPA if name in names]):
        found = [SHERPA_TOKENS, networks[0]]
    elif HEAD[0] in names:
        found = [name for name in HEAD if name in names]
    elif weights := loaded_weights(names, read_index):
        found = [*weights, *(n for n in names if any(fnmatchcase(n, p) for p in DESCRIBING))]
    else:
        return None
    return sorted(set(found))


def loaded_weights(names: Collection[str], read_index: ReadIndex) -> list[str]:
    """The files that transformers takes the weights from, an index first; empty: there is none."""
    first = next((name for name in WEIGHTS if name in names), None)
    if first is None:
        return []
    return [first, *_named_by(read_index(first))] if first.endswith("index.json") else [first]


def weight_files(folder: Path) -> list[Path]:
    """The files that transformers takes a folder's weights from. Raises BadInput."""
    weights = loaded_weights(_names(folder), lambda name: folder / name)
    if not weights:
        there = sorted(name for name in _names(folder) if "/" not in name)
        raise BadInput(
            f"no weights in {folder} that can be loaded: it has {_some(there)}; give a folder with "
            f"{SAFETENSORS}"
        )
    for name in weights:
        if not (folder / name).is_file():
            raise BadInput(f"{folder} lacks {name}, which its index names; copy the model again")
        with (folder / name).open("rb") as stream:
            if stream.read(len(LFS_POINTER)) == LFS_POINTER:
                raise BadInput(
                    f"{folder / name} is a pointer of Git LFS, not the weights; run `git lfs pull` "
                    "where it was cloned, or `hf download`"
                )
    return [folder / name for name in weights if not name.endswith("index.json")]


def loaded_files(folder: Path) -> list[Path]:
    """Files of a folder that decide what it is: those that are loaded, or of another kind all.

    Hidden ones never count. Raises BadInput.
    """
    names = _names(folder)
    loaded = loaded_names(names, lambda name: folder / name)
    return [folder / name for name in (sorted(names) if loaded is None else loaded)]


def folder_digest(folder: Path) -> str:
    """SHA-256 over the names and contents of the files of a model that are loaded."""
    digest = hashlib.sha256()
    for file in loaded_files(folder):
        if not file.is_file():
            raise BadInput(f"{folder} lacks {file.name}, which its index names; copy it again")
        digest.update(f"{file.relative_to(folder).as_posix()}\0{file_digest(file)}\n".encode())
    return digest.hexdigest()


def file_digest(file: Path) -> str:
    """SHA-256 of a file's content."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def no_weights(model: str, names: Collection[str]) -> BadInput:
    """A repository in which nothing can be loaded, with what it has."""
    return BadInput(
        f"{model} has no weights that can be loaded ({SAFETENSORS} or {PICKLE}, in one piece or "
        f"with an index): it has {_some(sorted(names))}; give another id, or convert it"
    )


def _named_by(index: Path) -> Iterator[str]:
    """Files that an index names."""
    try:
        content: object = json.loads(index.read_bytes())
        named = cast("dict[str, dict[str, str]]", content)["weight_map"].values()
        yield from sorted(set(named))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(
            f"{index} is not an index of weights: {reason_of(error)}; copy it again"
        ) from error


def _names(folder: Path) -> set[str]:
    files = (file.relative_to(folder) for file in folder.rglob("*") if file.is_file())
    return {f.as_posix() for f in files if not any(part.startswith(".") for part in f.parts)}


def _some(names: list[str], limit: int = 8) -> str:
    shown = ", ".join(names[:limit]) or "no file"
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"
