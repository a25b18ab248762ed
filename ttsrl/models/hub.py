"""What is given as a folder or a Hugging Face id: where it lies, what is in it, loading it.

`load_model` and `fill` are the only ways in which weights get into a network: none may be missing,
unexpected, of another shape, or not finite.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ttsrl.config.models import split_revision
from ttsrl.errors import BadInput, reason_of
from ttsrl.models.download import cached, download, resolve
from ttsrl.models.files import file_digest, folder_digest, weight_files
from ttsrl.models.packaged import located

if TYPE_CHECKING:
    from torch import Tensor, nn

WEIGHTS = frozenset([".safetensors", ".bin", ".onnx", ".pt", ".pth", ".nemo"])
"""Endings of the files in which models keep their weights."""

ONLY_FOR_TRAINING = (r"(^|\.)masked_spec_embed$", r"^objective\.weight$")
"""Weights that may be missing: wav2vec 2.0's recognisers are published without the vector that
masks, and the loss of a WavLM with an x-vector head has weights of its own."""
COMPUTED = (
    r"(^|\.)position_ids$",
    r"(^|\.)rotary_emb(ed)?\.inv_freq$",
    r"(^|\.)num_batches_tracked$",
)
"""Buffers that older versions saved and that follow from the configuration, or only count."""

LOST = (r"^lm_head\.bias$",)
"""What the published conversion of CosyVoice2's policy has and no program of transformers' kind
loads: a policy may have it, and `ttsrl.models.policy` says so."""


def local_folder(model: str) -> Path:
    """Folder of a model given as a folder, as a package that ships it, or as a Hugging Face id,
    which is downloaded once."""
    return folder if (folder := Path(located(model))).is_dir() else download(model)


def local_data(source: str) -> Path:
    """Folder or file of data given as such, or as a Hugging Face id, which is downloaded once.

    What cannot be an id is given back, there or not.
    """
    repository, _ = split_revision(source)
    if Path(source).exists() or not re.fullmatch(r"\w[\w.-]*/[\w.-]+", repository):
        return Path(source)
    return download(source, "dataset")


def pinned(model: str) -> str:
    """An id with the commit that it stands for, `id@commit`; a folder or a file as it is."""
    return model if Path(located(model)).exists() else resolve(model).pinned


def model_digest(model: str) -> str:
    """`folder_digest` of a folder or Hugging Face id, or the SHA-256 of a single file."""
    file = Path(located(model))
    return file_digest(file) if file.is_file() else folder_digest(local_folder(model))


def weight_digests(model: str, *, download: bool = True) -> set[str]:
    """SHA-256 of each weight file of a file, folder or Hugging Face id: a model under any name.

    Without `download` a model that is not on this machine has none.
    """
    if (path := Path(located(model))).is_file():
        return {file_digest(path)}
    folder = local_folder(model) if path.is_dir() or download else cached(model)
    files = folder.rglob("*") if folder else ()
    return {file_digest(file) for file in files if file.suffix in WEIGHTS}


def load_part(auto_class: Any, folder: Path, **options: Any) -> Any:
    """`auto_class.from_pretrained` of what has no weights: a tokenizer, a feature extractor.

    Raises BadInput.
    """
    kind = _words(auto_class)
    try:
        return auto_class.from_pretrained(folder, **options)
    except (OSError, ValueError, TypeError, KeyError) as error:
        files = FILES_OF.get(kind, ())
        there = not files or any((folder / name).is_file() for name in files)
        what = "cannot be loaded" if there else f"is not there: it has no {' or '.join(files)}"
        reason = f" ({reason_of(error)})" if there else ""
        raise BadInput(
            f"the {kind} of {folder} {what}{reason}; copy its files again from where the model was "
            "published"
        ) from error


def load_model(
    auto_class: Any,
    folder: Path,
    dtype: Any = "float32",
    *,
    without: Collection[str] = (),
    **given: Any,
) -> Any:
    """`auto_class.from_pretrained` in evaluation mode, with exactly the weights that it has.

    transformers itself gives missing weights random values and a warning. `without`: patterns of
    further weights that the folder has and the network does not want; `given`: `config` and
    `state_dict` to take instead of the folder's. Raises BadInput.
    """
    from safetensors import SafetensorError
    from transformers.utils import logging

    logging.disable_progress_bar()  # in a log it is noise
    source = None if "state_dict" in given else folder
    if source is not None:
        weight_files(folder)  # says more than transformers where there are none
    try:
        model, info = auto_class.from_pretrained(
            source,
            dtype=dtype,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are in the info, and refused below
            **given,
        )
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        raise BadInput(
            f"the model at {folder} cannot be loaded: {reason_of(error)}; copy it again"
        ) from error
    kind = type(model).__name__
    _refuse(
        f"the model at {folder}",
        kind,
        missing=info["missing_keys"],
        unexpected=info["unexpected_keys"],
        mismatched={name: (found, wanted) for name, found, wanted in info["mismatched_keys"]},
        without=without,
    )
    _check_finite(f"the model at {folder}", dict(model.named_parameters()))
    return model.eval()


def read_weights(folder: Path) -> dict[str, Tensor]:
    """All tensors of a folder by name, from the files that transformers would take them from.

    Raises BadInput.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    weights: dict[str, Tensor] = {}
    for file in weight_files(folder):
        try:
            if file.suffix == ".safetensors":
                weights |= load_file(file)
            else:
                weights |= torch.load(file, map_location="cpu", weights_only=True, mmap=True)
        except (SafetensorError, OSError, RuntimeError, ValueError, TypeError, EOFError) as error:
            raise BadInput(
                f"{file} cannot be read: {reason_of(error)}; copy it again, it may have been cut "
                "short"
            ) from error
    return weights


def names_of_weights(folder: Path) -> set[str]:
    """Names of all tensors of a folder. Raises BadInput."""
    from safetensors import SafetensorError, safe_open

    names: set[str] = set()
    for file in weight_files(folder):
        if file.suffix != ".safetensors":
            return set(read_weights(folder))
        try:
            with safe_open(file, "pt") as tensors:
                names.update(tensors.keys())
        except (SafetensorError, OSError) as error:
            raise BadInput(
                f"{file} cannot be read: {reason_of(error)}; copy it again, it may have been cut "
                "short"
            ) from error
    return names


def fill(
    network: nn.Module,
    weights: Mapping[str, Tensor],
    source: str | Path,
    *,
    without: Collection[str] = (),
) -> None:
    """Give a network exactly the weights of a state dict. Raises BadInput, which names `source`.

    `without`: patterns of further weights that the state dict has and the network does not want.
    """
    own = network.state_dict()
    _refuse(
        str(source),
        type(network).__name__,
        missing=own.keys() - weights.keys(),
        unexpected=weights.keys() - own.keys(),
        mismatched={
            name: (tensor.shape, own[name].shape)
            for name, tensor in weights.items()
            if name in own and own[name].shape != tensor.shape
        },
        without=without,
    )
    _check_finite(str(source), weights)
    network.load_state_dict(dict(weights), strict=False)


def _refuse(
    source: str,
    kind: str,
    *,
    missing: Collection[str],
    unexpected: Collection[str],
    mismatched: Mapping[str, tuple[Sequence[int], Sequence[int]]],
    without: Collection[str],
) -> None:
    """Raise BadInput unless the weights are those of the network."""
    lacks = _unmatched(missing, (*ONLY_FOR_TRAINING, *COMPUTED))
    more = _unmatched(unexpected, (*ONLY_FOR_TRAINING, *COMPUTED, *without))
    if mismatched:
        name = min(mismatched)
        found, wanted = mismatched[name]
        raise BadInput(
            f"{source}: {name} is {list(found)}, and a {kind} of its configuration wants "
            f"{list(wanted)}: they are of models of different sizes; give both as they were "
            "published together"
        )
    if lacks or more:
        told = [f"lacks {len(lacks)} weights of a {kind}, first {lacks[0]}"] if lacks else []
        told += [f"has {len(more)} weights that a {kind} has not, first {more[0]}"] if more else []
        raise BadInput(
            f"{source} {' and '.join(told)}; use a model of that kind, or copy it again if it was "
            "cut short"
        )


def _check_finite(source: str, weights: Mapping[str, Tensor]) -> None:
    for name, weight in weights.items():
        if weight.is_floating_point() and not weight.isfinite().all():
            raise BadInput(
                f"{source} has weights that are not finite, first in {name}: training diverged or "
                "the file is damaged; use an earlier checkpoint, or copy it again"
            )


def _unmatched(names: Collection[str], patterns: Collection[str]) -> list[str]:
    return sorted(n for n in names if not any(re.search(pattern, n) for pattern in patterns))


def _words(auto_class: Any) -> str:
    """`feature extractor` of `AutoFeatureExtractor`."""
    name: str = auto_class.__name__
    kinds = {"Tokenizer": "tokenizer", "Extractor": "feature extractor", "Config": "configuration"}
    return next((words for end, words in kinds.items() if name.endswith(end)), name)


FILES_OF = {
    "feature extractor": ("preprocessor_config.json", "processor_config.json"),
    "configuration": ("config.json",),
}
"""Where transformers looks for each; a tokenizer may be in files of its own kind."""
