"""Hugging Face ids: resolved once to a commit, and only what is loaded is downloaded.

An id may carry the revision to take, a commit, a branch or a tag, as in huggingface_hub's own
paths: `openai/whisper-large-v3@06f233fe06e710322aca913c1bc4249a0d71fce1`.
"""

from __future__ import annotations

import glob
import os
import shutil
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ttsrl.config.models import split_revision
from ttsrl.errors import BadInput, Failure, reason_of
from ttsrl.models.files import loaded_names, no_weights

if TYPE_CHECKING:
    from huggingface_hub import HfApi

Kind = Literal["model", "dataset"]
GIB = 2**30


@dataclass(frozen=True)
class Snapshot:
    """An id at one commit."""

    name: str
    """As it was given."""
    kind: Kind
    revision: Any
    """huggingface_hub's ResolvedRevision."""
    files: Mapping[str, int] | None
    """Name -> size in bytes; None: Hugging Face was not asked, or does not answer."""

    @property
    def repository(self) -> str:
        """The id without a revision."""
        return split_revision(self.name)[0]

    @property
    def pinned(self) -> str:
        """`id@commit`."""
        return f"{self.repository}@{self.revision.resolved}"


@cache
def resolve(name: str, kind: Kind = "model") -> Snapshot:
    """What an id stands for, the same as long as this process lives. Raises BadInput.

    Where Hugging Face is not asked (HF_HUB_OFFLINE) or cannot be reached, that is what the cache of
    this machine knows.
    """
    from huggingface_hub import HfApi

    repository, revision = split_revision(name)
    with _explained(name, kind):
        api = HfApi()
        resolved = api.resolve_revision(repository, revision=revision, repo_type=kind)
        return Snapshot(name, kind, resolved, _listing(api, name, resolved, kind))


@cache
def download(name: str, kind: Kind = "model") -> Path:
    """Folder of an id, with at least the files that are loaded. Raises BadInput, Failure."""
    snapshot = resolve(name, kind)
    with _explained(name, kind):
        if snapshot.files is None:
            return _folder(snapshot, [], local_files_only=True)
        if kind == "dataset":
            return _folder(snapshot, None)
        names = loaded_names(snapshot.files, lambda index: _folder(snapshot, [index]) / index)
        if names is None:
            raise no_weights(name, snapshot.files)
        if lost := [file for file in names if file not in snapshot.files]:
            raise BadInput(
                f"{name} lacks {lost[0]}, which its index names; give another revision (id@commit)"
            )
        _check_space(snapshot, names)
        return _folder(snapshot, names)


def small_files(name: str) -> Path:
    """Folder of an id with the files that describe the model: configuration and tokenizer.

    Raises BadInput as `resolve` does.
    """
    snapshot = resolve(name)
    with _explained(name, "model"):
        if snapshot.files is None:
            return _folder(snapshot, [], local_files_only=True)
        described = [f for f in snapshot.files if "/" not in f and f.endswith((".json", ".txt"))]
        return _folder(snapshot, described)


def cached(name: str) -> Path | None:
    """Folder of an id's files on this machine, without asking anyone; None where there is none."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError, RevisionResolutionError

    repository, revision = split_revision(name)
    try:
        resolved = HfApi().resolve_revision(repository, revision=revision, local_files_only=True)
        return _folder(Snapshot(name, "model", resolved, None), [], local_files_only=True)
    except (HFValidationError, RevisionResolutionError, FileNotFoundError):
        return None


def _folder(snapshot: Snapshot, names: list[str] | None, *, local_files_only: bool = False) -> Path:
    """Where the named files are after this; None: all of them."""
    from huggingface_hub import snapshot_download

    return Path(
        snapshot_download(
            snapshot.repository,
            repo_type=snapshot.kind,
            revision=snapshot.revision,
            allow_patterns=None if names is None else [glob.escape(name) for name in names],
            local_files_only=local_files_only,
        )
    )


def _listing(api: HfApi, name: str, revision: Any, kind: Kind) -> dict[str, int] | None:
    """Files of a commit and their sizes; None where Hugging Face is not asked or not reached."""
    import httpx
    from huggingface_hub import RepoFile
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    try:
        found = api.list_repo_tree(
            split_revision(name)[0], recursive=True, revision=revision.resolved, repo_type=kind
        )
        return {file.path: file.size for file in found if isinstance(file, RepoFile)}
    except OfflineModeIsEnabled:
        return None
    except (httpx.TransportError, HfHubHTTPError) as error:
        if isinstance(error, HfHubHTTPError) and error.response.status_code < 500:
            raise
        print(
            f"{name}: Hugging Face does not answer ({reason_of(error)}); it is taken from the "
            f"cache of this machine, at commit {revision.resolved}",
            flush=True,
        )
        return None


def _check_space(snapshot: Snapshot, names: list[str]) -> None:
    """Raise Failure where the files that are not here yet do not fit on the cache's disk."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.constants import HF_HUB_CACHE

    def is_here(name: str) -> bool:
        return isinstance(
            try_to_load_from_cache(snapshot.repository, name, revision=snapshot.revision.resolved),
            str,
        )

    assert snapshot.files is not None
    need = sum(snapshot.files[name] for name in names if not is_here(name))
    folder = Path(HF_HUB_CACHE)
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if need > free:
        raise Failure(
            f"no space left to download {snapshot.name}: {need / GIB:.1f} GiB are needed and "
            f"{free / GIB:.1f} GiB are free in {HF_HUB_CACHE}; free some space, or set HF_HOME to "
            "a folder on a larger disk"
        )


@contextmanager
def _explained(name: str, kind: Kind) -> Generator[None]:
    """huggingface_hub's errors as BadInput with the way out."""
    import httpx
    from huggingface_hub import errors

    repository, revision = split_revision(name)
    what = f"no {kind} at {name!r}"
    try:
        yield
    except errors.HFValidationError:
        raise BadInput(f"{what}; give a folder, or a Hugging Face id") from None
    except errors.GatedRepoError:
        raise BadInput(
            f"{name} is gated: ask for access on its page at Hugging Face, then give a token that "
            "has it (the variable HF_TOKEN, or `hf auth login`)"
        ) from None
    except errors.RevisionNotFoundError:
        raise BadInput(
            f"{repository} has no revision {revision!r}; give a branch, a tag or a commit of it"
        ) from None
    except errors.RepositoryNotFoundError:
        raise BadInput(
            f"{what}: there is no such folder, and Hugging Face has no such {kind} or it is "
            "private; correct the id, or give a token (the variable HF_TOKEN, `hf auth login`)"
        ) from None
    except (errors.RevisionResolutionError, errors.LocalEntryNotFoundError) as error:
        raise BadInput(
            f"{what}: there is no such folder, and {_why_unreachable(error)}; give a folder, or "
            f"fill the cache where there is a network: hf download {repository}"
        ) from error
    except (errors.HfHubHTTPError, httpx.HTTPError) as error:
        raise BadInput(
            f"{what}, and Hugging Face does not give it: {reason_of(error)}; give a folder"
        ) from error


def _why_unreachable(error: BaseException) -> str:
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return "HF_HUB_OFFLINE is set and the cache of this machine does not hold it"
    return f"Hugging Face does not give it: {reason_of(error)}"
