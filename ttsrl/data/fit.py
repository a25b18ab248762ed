"""Whether policy, family and codec of a run fit each other, found out without their weights."""

from __future__ import annotations

import re
from pathlib import Path

from ttsrl.codecs.of_family import check_codec_of_family
from ttsrl.config.schema import RunConfig
from ttsrl.errors import BadInput
from ttsrl.families.base import Family
from ttsrl.families.registry import load_family
from ttsrl.families.speech_ids import NotOfFamily
from ttsrl.models.download import cached, small_files
from ttsrl.models.hub import load_part
from ttsrl.models.packaged import located

HUB_ID = re.compile(r"\w[\w.-]*/[\w.-]+(@[\w./-]+)?")


def check_fit(run: RunConfig, policy: Path) -> Family:
    """The family of the policy's folder, if its tokenizer and the run's codec are of it.

    A codec that is not on this machine is checked by the reward service. Raises BadInput.
    """
    from transformers import AutoTokenizer

    try:
        family = load_family(run.family, load_part(AutoTokenizer, policy), told=run.prompt)
    except NotOfFamily as error:
        raise BadInput(
            f"policy {run.model}: {error}; give the family of this model, or a model of the family "
            f"{run.family}"
        ) from None
    except BadInput as error:
        raise BadInput(f"policy {run.model}: {error}") from None
    if codec := _here(run.codec):
        check_codec_of_family(run.family, codec)
    return family


def fit_where_known(run: RunConfig) -> tuple[Family | None, list[str]]:
    """`check_fit`, where the policy's tokenizer can be had; what is to be said if not."""
    try:
        folder = folder_of_small_files(run.model)
    except BadInput as error:
        unknown = f"not checked: whether {run.model} is of the family {run.family}"
        return None, [f"{unknown} and its prompts fit ({error})"]
    return check_fit(run, folder), []


def folder_of_small_files(model: str) -> Path:
    """A model's folder, or that of its configuration and tokenizer, brought here from the Hub.

    Raises BadInput.
    """
    if (folder := Path(located(model))).is_dir():
        return folder
    if not HUB_ID.fullmatch(model):
        raise BadInput(f"no such folder: {model}")
    return small_files(model)


def _here(model: str) -> Path | None:
    """Its folder on this machine."""
    if (folder := Path(located(model))).is_dir():
        return folder
    return cached(model) if HUB_ID.fullmatch(model) else None
