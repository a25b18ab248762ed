"""Runs that commands are given by an address in storage, or by the release that trains them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ttsrl.errors import BadInput

if TYPE_CHECKING:
    from ttsrl.storage.run_store import RunStore


def published(source: str, namespace: str | None, run: str | None) -> RunStore:
    """The run at an address; or `run` of the Helm release of that name. Raises BadInput."""
    from ttsrl.storage.published import open_run

    if "/" not in source:
        from ttsrl.kube.cluster import Cluster
        from ttsrl.kube.release import read_release

        release = read_release(Cluster(namespace), source)
        source = release.address(run)
        os.environ |= release.storage_environment(os.environ)
    elif run is not None:
        raise BadInput(f"--run {run} is a run of a release, and {source} is an address; give one")
    return open_run(source)
