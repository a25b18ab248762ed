"""A training job that is suspended by its user: its pods go, the object stays, and it resumes.

A job in a queue of Kueue is suspended and resumed by Kueue alone, and can only be deleted.
"""

from __future__ import annotations

import time

from ttsrl.errors import BadInput, Failure
from ttsrl.kube import training
from ttsrl.kube.cluster import OUTAGE_S, Cluster
from ttsrl.kube.manifests import Kind
from ttsrl.kube.names import Names
from ttsrl.kube.objects import Object, labels_of, part
from ttsrl.kube.queueing import QUEUE_LABEL
from ttsrl.kube.state import state_of
from ttsrl.kube.suspend import suspend


def pause(cluster: Cluster, names: Names, kind: Kind, job: Object) -> str:
    """Suspend it and wait until its pods are gone; in words. Raises BadInput, Failure."""
    what = f"{job['kind']} {job['metadata']['name']}"
    state = state_of(job)
    if state.has_ended:
        raise BadInput(f"{what} has ended: {state.words}; `ttsrl stop --delete` removes it")
    if QUEUE_LABEL in labels_of(job):
        raise BadInput(f"{what} is in a queue of Kueue, which resumes it: `ttsrl stop --delete`")
    suspend(cluster, training.path_of(cluster, kind, job), kind)
    cluster.patience_s = OUTAGE_S
    deadline = time.monotonic() + training.DELETE_DEADLINE_S
    while any(_holds_a_node(pod) for pod in training.pods(cluster, names)):
        if time.monotonic() > deadline:
            raise Failure(
                f"{what} still has pods after {training.DELETE_DEADLINE_S:.0f} s: "
                f"kubectl -n {cluster.namespace} get pods"
            )
        time.sleep(training.POLL_S)
    return f"{what} is suspended, and its pods are gone; `ttsrl submit` resumes it"


def _holds_a_node(pod: Object) -> bool:
    return part(pod, "status").get("phase") not in ("Succeeded", "Failed")
