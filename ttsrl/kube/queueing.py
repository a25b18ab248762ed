"""What Kueue says of a job that waits in one of its queues."""

from __future__ import annotations

from collections.abc import Sequence

from ttsrl.kube.cluster import Cluster
from ttsrl.kube.objects import Object, condition, entries

QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
"""Of a job that is in a queue."""
API = "kueue.x-k8s.io/v1beta1"


def why_queued(cluster: Cluster, job: Object) -> str:
    """Why a suspended job waits; empty where Kueue does not say, or this user may not ask."""
    return why_not_admitted(job, cluster.items(cluster.group(API, "workloads")) or [])


def why_not_admitted(job: Object, workloads: Sequence[Object]) -> str:
    """The same of Kueue's Workload of the job, if it is among these."""
    for workload in workloads:
        owners = entries(workload, "metadata", "ownerReferences")
        if any(owner["uid"] == job["metadata"]["uid"] for owner in owners):
            reserved = condition(workload, "QuotaReserved")
            if reserved is not None and reserved["status"] == "False":
                return str(reserved.get("message", ""))
    return ""
