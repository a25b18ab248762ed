"""The Job that evaluates a run's checkpoints while training continues."""

from __future__ import annotations

import time
from collections.abc import Sequence

from ttsrl.errors import Failure
from ttsrl.kube.cluster import Cluster
from ttsrl.kube.names import Names
from ttsrl.kube.objects import Object, condition, part
from ttsrl.kube.pending import ON_NODES, why_pending
from ttsrl.kube.release import Release
from ttsrl.kube.runs import ClusterRun, give_to
from ttsrl.kube.training import DELETE_DEADLINE_S, POLL_S, RUN_HASH, made, made_by_values
from ttsrl.records.during import EvaluatedLine


def submit(cluster: Cluster, release: Release, run: ClusterRun, queue: str | None = None) -> str:
    """Start it, once: returns what was done, in words.

    One that runs for the present run is left alone. Any other is created anew, which loses nothing
    that it has published.
    """
    job = made(release, run, "followjob", queue)
    name = job["metadata"]["name"]
    if (there := find(cluster, run.names)) is not None:
        if there["metadata"]["name"] != name:
            _suspend(cluster, there, False)
            return f"Job {there['metadata']['name']} is an object of the release"
        made_for = part(there, "metadata", "annotations").get(RUN_HASH)
        if not _has_ended(there) and made_for in (None, job["metadata"]["annotations"][RUN_HASH]):
            return f"Job {there['metadata']['name']} is there already"
        delete(cluster, run.names)
    give_to(cluster, release, run, [cluster.create(cluster.group("batch/v1", "jobs"), job)])
    return f"Job {name} created in {cluster.namespace}"


def find(cluster: Cluster, names: Names) -> Object | None:
    """The Job of a release; None where there is none."""
    jobs = cluster.group("batch/v1", "jobs")
    return cluster.get(f"{jobs}/{names.follow}") or made_by_values(cluster, names, jobs, "follow")


def pause(cluster: Cluster, names: Names) -> None:
    """End its pod; `submit` makes it anew, and nothing is lost. Raises Failure."""
    there = find(cluster, names)
    if there is not None and there["metadata"]["name"] != names.follow:
        _suspend(cluster, there, True)  # deleted, an object of the release would be made again
    else:
        delete(cluster, names)


def delete(cluster: Cluster, names: Names) -> bool:
    """Delete it and wait until it is gone; whether there was one. Raises Failure."""
    if (there := find(cluster, names)) is None:
        return False
    name = there["metadata"]["name"]
    cluster.delete(cluster.group("batch/v1", f"jobs/{name}"), foreground=True)
    deadline = time.monotonic() + DELETE_DEADLINE_S
    while find(cluster, names) is not None:
        if time.monotonic() > deadline:
            raise Failure(
                f"{name} is still there after {DELETE_DEADLINE_S:.0f} s: "
                f"kubectl -n {cluster.namespace} get pods"
            )
        time.sleep(POLL_S)
    return True


def lines(cluster: Cluster, names: Names) -> list[str]:
    """What it has last evaluated, and why its pod does not run; nothing where there is no Job."""
    selector = f"{names.selector},app.kubernetes.io/component=follow"
    pods = cluster.items(cluster.core("pods"), {"labelSelector": selector}) or []
    pods.sort(key=lambda pod: pod["metadata"]["creationTimestamp"])
    if not pods:
        return []
    name, phase = pods[-1]["metadata"]["name"], part(pods[-1], "status").get("phase")
    if phase == "Pending":
        nodes = cluster.items("/api/v1/nodes")
        everyone = cluster.items("/api/v1/pods", {"fieldSelector": ON_NODES}) if nodes else None
        why = why_pending(pods[-1], nodes, everyone, cluster.items(cluster.core("events")) or [])
        return [f"  {name}: Pending: {why}"]
    newest = _newest(cluster, pods)
    return [] if newest is None else [f"  {newest}"]


def _newest(cluster: Cluster, pods: Sequence[Object]) -> EvaluatedLine | None:
    """The latest step that a pod tells of: a new pod has not evaluated anything yet."""
    for pod in reversed(pods):
        try:
            log = cluster.log(pod["metadata"]["name"], container="follow")
        except Failure:
            continue  # its node does not answer
        if (found := EvaluatedLine.newest_of(log)) is not None:
            return found
    return None


def _suspend(cluster: Cluster, job: Object, suspended: bool) -> None:
    path = cluster.group("batch/v1", f"jobs/{job['metadata']['name']}")
    cluster.patch(path, {"spec": {"suspend": suspended}})


def _has_ended(job: Object) -> bool:
    ends = (condition(job, kind) for kind in ("Complete", "Failed"))
    return any(end is not None and end["status"] == "True" for end in ends)
