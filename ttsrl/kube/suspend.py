"""The switch by which an operator takes a training job's pods away and brings them back."""

from __future__ import annotations

import time

from ttsrl.kube.cluster import Cluster
from ttsrl.kube.manifests import Kind
from ttsrl.kube.state import PAUSED


def suspend(cluster: Cluster, path: str, kind: Kind) -> None:
    """Have its operator end the pods of the job there, and remember that a user wanted it."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    _set(cluster, path, kind, suspended=True, paused=now)


def resume(cluster: Cluster, path: str, kind: Kind) -> None:
    """Let a job run that `suspend` has suspended."""
    _set(cluster, path, kind, suspended=False, paused=None)


def _set(cluster: Cluster, path: str, kind: Kind, *, suspended: bool, paused: str | None) -> None:
    switch = {"suspend": suspended}
    spec = {"runPolicy": switch} if kind == "pytorchjob" else switch
    body = {"metadata": {"annotations": {PAUSED: paused}}, "spec": spec}
    cluster.patch(path, body)
