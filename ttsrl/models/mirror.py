"""Models of a run where Hugging Face is not reached: a mirror in storage, a cache filled from it.

A mirror is an S3 prefix or a folder. In it `mirror.json` says for every id, as runs name it, which
commit was copied; its files are published below `KIND/ID/COMMIT`.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ttsrl.config.models import split_revision
from ttsrl.config.schema import RunConfig
from ttsrl.errors import BadInput, Failure
from ttsrl.facts import DataPath, models_in, walk
from ttsrl.models.download import Kind, download, resolve
from ttsrl.models.packaged import PACKAGED
from ttsrl.models.revisions import BY_ID
from ttsrl.reward.config import without_unheard_whisper
from ttsrl.runtime.progress import Progress
from ttsrl.storage.atomic import replace_file
from ttsrl.storage.storage import Storage

INDEX = "mirror.json"
IS_MODEL = re.compile(r"(\w[\w.-]*/)?\w[\w.-]*")
IS_DATASET = re.compile(r"\w[\w.-]*/[\w.-]+")
POLL_S = 5.0


@dataclass(frozen=True)
class HubId:
    """An id of Hugging Face that a run names."""

    name: str
    """With its revision, if the run gives one."""
    kind: Kind
    keys: tuple[str, ...]
    """Where the run names it: `codec`, `eval.judges[0].model`."""

    @property
    def repository(self) -> str:
        return split_revision(self.name)[0]


def hub_ids(run: RunConfig) -> list[HubId]:
    """Every id that the pods of a run load, once; folders, files and packages are none."""
    run = run.model_copy(update={"reward": without_unheard_whisper(run.reward)})
    keys: dict[tuple[str, Kind], list[str]] = {}
    for key, model in models_in(run, *BY_ID).items():
        if model not in PACKAGED and IS_MODEL.fullmatch(split_revision(model)[0]):
            keys.setdefault((model, "model"), []).append(key)
    for setting in walk(run):
        source = setting.value
        if setting.fact(DataPath) is None or not isinstance(source, str):
            continue
        if IS_DATASET.fullmatch(split_revision(source)[0]):
            keys.setdefault((source, "dataset"), []).append(setting.name)
    return [HubId(name, kind, tuple(where)) for (name, kind), where in sorted(keys.items())]


def copy_to_mirror(mirror: Storage, ids: Sequence[HubId], progress: Progress) -> None:
    """Download what is loaded of each id, and publish it; what is there already stays.

    Raises BadInput, Failure.
    """
    for one in ids:
        stage = progress.stage(one.name)
        commit = resolve(one.name, one.kind).revision.resolved
        folder = download(one.name, one.kind)
        key = _key(one, commit)
        if not mirror.is_complete(key):
            mirror.publish(folder, key, stage.update_bytes)
        index = mirror.read_json(INDEX) or {}
        index[_entry(one)] = {"commit": commit}
        mirror.write_json(INDEX, dict(sorted(index.items())))
        stage.finish(mirror.address(key))


def fill_cache(mirror: Storage | None, ids: Sequence[HubId], progress: Progress) -> None:
    """Bring each id into the cache of this machine, from a mirror or, for None, from the hub;
    then note that all of them are there. Raises BadInput, Failure."""
    index = None if mirror is None else _index(mirror)
    for one in ids:
        stage = progress.stage(one.name)
        if mirror is None or index is None:
            stage.finish(str(download(one.name, one.kind)))
            continue
        if (entry := index.get(_entry(one))) is None:
            raise BadInput(
                f"{mirror.address()} has no {one.kind} {one.name!r} (it has {', '.join(index)}): "
                "ttsrl mirror RELEASE.yaml --models-to ADDRESS copies what is missing"
            )
        commit = str(entry["commit"])
        folder = _repository(one) / "snapshots" / commit
        mirror.pull(_key(one, commit), folder, stage.update_bytes, replace=True)
        _write(_repository(one) / "refs" / (split_revision(one.name)[1] or "main"), commit)
        stage.finish(str(folder))
    _write(_note(ids), json.dumps([one.name for one in ids], indent=1))


def wait_until_filled(ids: Sequence[HubId], wait_s: float) -> None:
    """Until `fill_cache` of the same ids has ended, in another pod. Raises Failure."""
    deadline = time.monotonic() + wait_s
    told = False
    while not _note(ids).exists():
        if time.monotonic() > deadline:
            raise Failure(
                f"the cache of models is not filled after {wait_s:.0f} s: look at the pod of "
                "the Job that fills it (label app.kubernetes.io/component=prefetch)"
            )
        if not told:
            print(f"waiting for {len(ids)} models to be in the cache", flush=True)
            told = True
        time.sleep(POLL_S)


def _index(mirror: Storage) -> dict[str, Any]:
    found = mirror.read_json(INDEX)
    if found is None:
        raise BadInput(
            f"{mirror.address()} is not a mirror of models: it has no {INDEX}; make one where "
            "there is a network: ttsrl mirror RELEASE.yaml --models-to ADDRESS"
        )
    return found


def _entry(one: HubId) -> str:
    return f"{one.kind} {one.name}"


def _key(one: HubId, commit: str) -> str:
    return f"{one.kind}/{one.repository}/{commit}"


def _repository(one: HubId) -> Path:
    """Folder of an id in Hugging Face's cache."""
    from huggingface_hub.constants import HF_HUB_CACHE
    from huggingface_hub.file_download import repo_folder_name

    return Path(HF_HUB_CACHE) / repo_folder_name(repo_id=one.repository, repo_type=one.kind)


def _note(ids: Sequence[HubId]) -> Path:
    """The file that says that these are all there."""
    from huggingface_hub.constants import HF_HUB_CACHE

    names = "\n".join(f"{one.kind} {one.name}" for one in ids)
    return Path(HF_HUB_CACHE) / f".ttsrl-filled-{hashlib.sha256(names.encode()).hexdigest()[:16]}"


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replace_file(path) as temporary:
        temporary.write_text(text)
