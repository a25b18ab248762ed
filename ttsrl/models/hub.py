"""What is given as a folder or a Hugging Face id: where it lies, what is in it, loading it."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ttsrl.errors import BadInput
from ttsrl.models.packaged import located

if TYPE_CHECKING:
    pass

UNUSED = frozenset(["masked_spec_embed"])
"""Weights that only pre-training uses: wav2vec 2.0's recognisers are published without them."""


WEIGHTS = frozenset([".safetensors", ".bin", ".onnx", ".pt", ".pth", ".nemo"])
"""Endings of the files in which models keep their weights."""


def local_folder(model: str) -> Path:
    """Folder of a model given as a folder, as a package that ships it, or as a Hugging Face id,
    which is downloaded once."""
    if (folder := Path(located(model))).is_dir():
        return folder
    return _download(model, "model")


def local_data(source: str) -> Path:
    """Folder or file of data given as such, or as a Hugging Face id, which is downloaded once.

    What cannot be an id is given back, there or not.
    """
    if Path(source).exists() or not re.fullmatch(r"\w[\w.-]*/[\w.-]+", source):
        return Path(source)
    return _download(source, "dataset")


def _download(name: str, kind: Literal["model", "dataset"]) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
    )

    try:
        return Path(snapshot_download(name, repo_type=kind))
    except HFValidationError:
        raise BadInput(f"no {kind} at {name!r}; give a folder, or a Hugging Face id") from None
    except (HfHubHTTPError, LocalEntryNotFoundError) as error:
        reason = str(error).strip().splitlines()[0]
        raise BadInput(
            f"no {kind} at {name!r}, and Hugging Face does not give it: {reason}; give a folder"
        ) from error


def folder_digest(folder: Path) -> str:
    """SHA-256 over the names and contents of a model's files; hidden files do not count."""
    digest = hashlib.sha256()
    for file in sorted(f for f in folder.rglob("*") if f.is_file()):
        name = file.relative_to(folder)
        if any(part.startswith(".") for part in name.parts):
            continue
        with file.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()
        digest.update(f"{name.as_posix()}\0{content}\n".encode())
    return digest.hexdigest()


def model_digest(model: str) -> str:
    """`folder_digest` of a folder or Hugging Face id, or the SHA-256 of a single file."""
    if (file := Path(located(model))).is_file():
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    return folder_digest(local_folder(model))


def weight_digests(model: str, *, download: bool = True) -> set[str]:
    """SHA-256 of each weight file of a file, folder or Hugging Face id: a model under any name.

    Without `download` a model that is not on this machine has none.
    """
    if (path := Path(located(model))).is_file():
        files = [path]
    elif path.is_dir() or download:
        files = [f for f in local_folder(model).rglob("*") if f.suffix in WEIGHTS]
    else:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

        try:
            folder = Path(snapshot_download(model, local_files_only=True))
        except (HFValidationError, LocalEntryNotFoundError):
            return set()
        files = [f for f in folder.rglob("*") if f.suffix in WEIGHTS]
    digests: set[str] = set()
    for file in files:
        with file.open("rb") as stream:
            digests.add(hashlib.file_digest(stream, "sha256").hexdigest())
    return digests


def load_model(auto_class: Any, folder: Path, dtype: Any = "float32") -> Any:
    """`auto_class.from_pretrained`, with no weight missing or not finite; in evaluation mode.

    transformers itself gives missing weights random values and a warning. Raises BadInput.
    """
    from safetensors import SafetensorError
    from transformers.utils import logging

    logging.disable_progress_bar()  # in a log it is noise
    try:
        model, info = auto_class.from_pretrained(folder, dtype=dtype, output_loading_info=True)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0]
        raise BadInput(f"the model at {folder} cannot be loaded: {reason}") from error
    broken = [key for key in sorted(info["missing_keys"]) if key.split(".")[-1] not in UNUSED]
    broken += [str(key) for key in info["mismatched_keys"]]
    if broken:
        raise BadInput(
            f"the model at {folder} lacks {len(broken)} weights of a {type(model).__name__}, first "
            f"{broken[0]}; use a model of that kind, or copy it again if it was cut short"
        )
    for name, weight in model.named_parameters():
        if not weight.isfinite().all():
            raise BadInput(
                f"the model at {folder} has weights that are not finite, first in {name}: training "
                "diverged or the file is damaged; use an earlier checkpoint"
            )
    return model.eval()
