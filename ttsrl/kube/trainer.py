"""The runtime of a TrainJob: Kubeflow Trainer 2 has the pods of a job in an object of their own.

Each run has its own, so that what a run trains does not change under it. Its job owns it.
"""

from __future__ import annotations

import time

from ttsrl.errors import Failure
from ttsrl.kube.cluster import Cluster
from ttsrl.kube.manifests import Manifest
from ttsrl.kube.objects import Object
from ttsrl.kube.release import owner_of

DEADLINE_S = 180.0
POLL_S = 1.0


def create_runtime(cluster: Cluster, runtime: Manifest) -> None:
    """Make it, in place of one that a job before has left. Raises Failure where that stays."""
    path = _path(cluster, runtime)
    if cluster.get(path) is not None:
        cluster.delete(path)
    deadline = time.monotonic() + DEADLINE_S
    while cluster.get(path) is not None:  # Trainer holds it until its job is gone
        if time.monotonic() > deadline:
            raise Failure(
                f"TrainingRuntime {runtime['metadata']['name']} of an earlier job is still there "
                f"after {DEADLINE_S:.0f} s: kubectl -n {cluster.namespace} get trainjobs"
            )
        time.sleep(POLL_S)
    cluster.create(_collection(cluster, runtime), runtime)


def give_runtime(cluster: Cluster, runtime: Manifest, job: Object) -> None:
    """Let a job own it: it goes with the job."""
    owner = owner_of(job["apiVersion"], job["kind"], job)
    cluster.patch(_path(cluster, runtime), {"metadata": {"ownerReferences": [owner]}})


def _collection(cluster: Cluster, runtime: Manifest) -> str:
    return cluster.group(runtime["apiVersion"], "trainingruntimes")


def _path(cluster: Cluster, runtime: Manifest) -> str:
    return f"{_collection(cluster, runtime)}/{runtime['metadata']['name']}"
