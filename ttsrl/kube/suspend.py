"""The switch by which an operator takes a training job's pods away and brings them back."""

from __future__ import annotations

import time

from ttsrl.kube.cluster import Cluster
from ttsrl.kube.manifests import Kind
from ttsrl.kube.names import Names
from ttsrl.kube.readiness import APIS
from ttsrl.kube.state import PAUSED


def suspend(cluster: Cluster, names: Names, kind: Kind) -> None:
    """Have its operator end the pods of a job, and remember that a user wanted it."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    _set(cluster, names, kind, suspended=True, paused=now)


def resume(cluster: Cluster, names: Names, kind: Kind) -> None:
    """Let a job run that `suspend` has suspended."""
    _set(cluster, names, kind, suspended=False, paused=None)


def _set(
    cluster: Cluster, names: Names, kind: Kind, *, suspended: bool, paused: str | None
) -> None:
    version, plural, _ = APIS[kind]
    switch = {"suspend": suspended}
    spec = {"runPolicy": switch} if kind == "pytorchjob" else switch
    body = {"metadata": {"annotations": {PAUSED: paused}}, "spec": spec}
    cluster.patch(cluster.group(version, f"{plural}/{names.train}"), body)
