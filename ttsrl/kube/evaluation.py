"""Merge and evaluation of a run in the cluster: three Jobs, or one JobSet where there is one."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

from ttsrl.errors import BadInput, Failure
from ttsrl.kube.cluster import Cluster
from ttsrl.kube.manifests import Manifest, Template
from ttsrl.kube.objects import Object, condition, entries, part
from ttsrl.kube.release import Release
from ttsrl.kube.runs import ClusterRun, give_to, hold
from ttsrl.kube.training import DELETE_DEADLINE_S, POLL_S, RUN_HASH, made

JOBSET = "jobset.x-k8s.io/v1alpha2"
PLURALS: Mapping[str, str] = {"Job": "jobs", "JobSet": "jobsets"}
ENDS = ("Complete", "Completed", "Failed")
"""Conditions of a Job and of a JobSet that has ended."""


def jobs_for(
    release: Release, run: ClusterRun, *, as_jobset: bool, queue: str | None = None
) -> list[Manifest]:
    """What evaluates a run, in the order in which it is created."""
    templates: tuple[Template, ...] = ("mergejob", "shardsjob", "reducejob")
    if as_jobset:
        templates = ("jobset",)
    return [made(release, run, template, queue) for template in templates]


def has_jobset(cluster: Cluster) -> bool:
    """Whether the cluster has JobSet, with which no pod holds a GPU while it waits."""
    served = entries(cluster.get(f"/apis/{JOBSET}") or {}, "resources")
    return any(one["name"] == "jobsets" for one in served)


def submit(
    cluster: Cluster, release: Release, run: ClusterRun, queue: str | None = None
) -> Iterator[str]:
    """Start merge and evaluation: yields what was done, in words. What is done already in storage
    is not done again.

    Jobs that run for the same run are left alone; ended ones are created anew. Raises BadInput
    where one still evaluates another configuration of the run.
    """
    jobs = jobs_for(release, run, as_jobset=has_jobset(cluster), queue=queue)
    missing: list[Manifest] = []
    for job in jobs:
        there = cluster.get(_path(cluster, job))
        if there is None:
            missing.append(job)
        elif has_ended(there):
            hold(cluster, release, run)  # else it might go with the job that is deleted
            _delete(cluster, job)
            missing.append(job)
        else:
            _check_same(there, job)
            yield f"{job['kind']} {job['metadata']['name']} is there already"
    for job in missing:
        cluster.create(_collection(cluster, job), job, dry_run=True)
    if missing:
        hold(cluster, release, run)
    for job in missing:
        created = cluster.create(_collection(cluster, job), job)
        give_to(cluster, release, run, [created])
        yield f"{job['kind']} {job['metadata']['name']} created in {cluster.namespace}"


def has_ended(job: Object) -> bool:
    """Whether a Job or JobSet is complete or has failed."""
    found = (condition(job, kind) for kind in ENDS)
    return any(one is not None and one["status"] == "True" for one in found)


def _check_same(there: Object, job: Manifest) -> None:
    made_for = part(there, "metadata", "annotations").get(RUN_HASH)
    if made_for not in (None, job["metadata"]["annotations"][RUN_HASH]):
        raise BadInput(
            f"{job['kind']} {job['metadata']['name']} evaluates another configuration of this run; "
            "wait for its end, or delete it"
        )


def _delete(cluster: Cluster, job: Manifest) -> None:
    cluster.delete(_path(cluster, job), foreground=True)
    deadline = time.monotonic() + DELETE_DEADLINE_S
    while cluster.get(_path(cluster, job)) is not None:
        if time.monotonic() > deadline:
            raise Failure(
                f"{job['metadata']['name']} is still there after {DELETE_DEADLINE_S:.0f} s: "
                f"kubectl -n {cluster.namespace} get pods"
            )
        time.sleep(POLL_S)


def _collection(cluster: Cluster, job: Manifest) -> str:
    return cluster.group(job["apiVersion"], PLURALS[job["kind"]])


def _path(cluster: Cluster, job: Manifest) -> str:
    return f"{_collection(cluster, job)}/{job['metadata']['name']}"
