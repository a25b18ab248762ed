"""The training job of a release: create it, find it, stop it."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any, get_args

from ttsrl.config.load import config_hash
from ttsrl.config.schema import RunConfig
from ttsrl.errors import BadInput, Failure
from ttsrl.kube.cluster import Cluster
from ttsrl.kube.manifests import Kind, Manifest, machines_of, training_job
from ttsrl.kube.names import Names
from ttsrl.kube.objects import Object, part
from ttsrl.kube.readiness import APIS, examine, refuse
from ttsrl.kube.release import Release
from ttsrl.kube.state import state_of
from ttsrl.kube.suspend import resume

RUN_HASH = "ttsrl.dev/run-sha256"
"""Annotation of a job: which run it was made for."""
DELETE_DEADLINE_S = 180.0
POLL_S = 1.0


@dataclass(frozen=True)
class JobRequest:
    """What of a training job is the user's choice."""

    kind: Kind = "rayjob"
    overlay: str | None = None
    image: str | None = None
    queue: str | None = None


def job_for(release: Release, request: JobRequest) -> Manifest:
    """The job of a release. Raises BadInput where its machines are not those of the run."""
    image = request.image or release.train_image
    job = training_job(
        request.kind,
        release.names,
        overlay=request.overlay,
        image=image,
        queue=request.queue,
    )
    check_machines(job, release.run, request)
    job["metadata"]["annotations"] = {RUN_HASH: config_hash(release.run)}
    return job


def check_machines(job: Manifest, run: RunConfig, request: JobRequest) -> None:
    """Raises BadInput where a job has other machines or GPUs than its run wants."""
    nodes, gpus = machines_of(job)
    if (nodes, gpus) != (run.train.nodes, run.train.gpus_per_node):
        what = f"the overlay {request.overlay!r}" if request.overlay else "the plain manifest"
        raise BadInput(
            f"{what} has {nodes} x {gpus} GPU, and the run wants train.nodes = {run.train.nodes} x "
            f"train.gpus_per_node = {run.train.gpus_per_node}; choose another --overlay, or helm "
            "upgrade with the overlay's values.yaml"
        )


def submit(cluster: Cluster, release: Release, request: JobRequest) -> str:
    """Start training, once: returns what was done, in words.

    A job that runs already is left alone; one that has ended is created anew, and resumes from the
    last published checkpoint. Raises BadInput before anything starts where something is amiss.
    """
    job = job_for(release, request)
    name = job["metadata"]["name"]
    for kind in get_args(Kind):
        there = find(cluster, release.names, kind)
        if there is None:
            continue
        state = state_of(there)
        if not state.has_ended:
            if state.phase == "paused" and _is_the_same(there, job):
                resume(cluster, release.names, kind)
                return f"{there['kind']} {name} was suspended, and runs again"
            if state.phase == "paused":
                delete(cluster, release.names, kind)
                continue
            _check_same_job(there, job, request.kind, kind, name)
            return f"{there['kind']} {name} is there already: {state.words}"
        delete(cluster, release.names, kind)
    refuse(examine(cluster, release, request.kind, job))
    _create(cluster, request.kind, job)
    return f"{job['kind']} {name} created in {cluster.namespace}"


def find(cluster: Cluster, names: Names, kind: Kind) -> Object | None:
    """The training job of a release, of one kind."""
    version, plural, _ = APIS[kind]
    found = cluster.get(cluster.group(version, f"{plural}/{names.train}"))
    return found


def the_job(cluster: Cluster, names: Names) -> tuple[Kind, Object]:
    """The training job of a release, of whichever kind. Raises BadInput where there is none."""
    for kind in get_args(Kind):
        if (found := find(cluster, names, kind)) is not None:
            return kind, found
    raise BadInput(
        f"no training job {names.train!r} in the namespace {cluster.namespace}; start one: "
        "`ttsrl submit`, or kubectl apply -f jobs/train"
    )


def delete(cluster: Cluster, names: Names, kind: Kind) -> None:
    """Delete a job and its pods, and wait until they are gone. Raises Failure."""
    version, plural, _ = APIS[kind]
    cluster.delete(cluster.group(version, f"{plural}/{names.train}"), foreground=True)
    deadline = time.monotonic() + DELETE_DEADLINE_S
    while find(cluster, names, kind) is not None or pods(cluster, names):
        if time.monotonic() > deadline:
            raise Failure(
                f"{names.train} still has pods after {DELETE_DEADLINE_S:.0f} s: "
                f"kubectl -n {cluster.namespace} get pods"
            )
        time.sleep(POLL_S)


def pods(cluster: Cluster, names: Names) -> list[Any]:
    """The pods of the training job, oldest first."""
    selector = f"app.kubernetes.io/instance={names.release},app.kubernetes.io/component=train"
    found = cluster.items(cluster.core("pods"), {"labelSelector": selector}) or []
    return sorted(found, key=lambda pod: pod["metadata"]["creationTimestamp"])


def driver(kind: Kind, names: Names, found: list[Any]) -> Object | None:
    """The pod in whose log the supervisor speaks: the newest submitter, or the master."""
    label, value = {
        "rayjob": ("batch.kubernetes.io/job-name", names.train),
        "pytorchjob": ("training.kubeflow.org/replica-type", "master"),
    }[kind]
    fitting = [pod for pod in found if part(pod, "metadata", "labels").get(label) == value]
    return fitting[-1] if fitting else None


def _is_the_same(there: Object, job: Manifest) -> bool:
    made_for = part(there, "metadata", "annotations").get(RUN_HASH)
    return there["kind"] == job["kind"] and made_for == job["metadata"]["annotations"][RUN_HASH]


def _check_same_job(there: Object, job: Manifest, wanted: Kind, kind: Kind, name: str) -> None:
    if kind != wanted:
        raise BadInput(
            f"{there['kind']} {name} trains this run; two trainers would undo each other's work: "
            "`ttsrl stop` it first"
        )
    made_for = part(there, "metadata", "annotations").get(RUN_HASH)
    if made_for not in (None, job["metadata"]["annotations"][RUN_HASH]):
        raise BadInput(
            f"{there['kind']} {name} runs with another configuration than the release has now; "
            "`ttsrl stop` it first, then submit again"
        )


def _create(cluster: Cluster, kind: Kind, job: Manifest) -> None:
    if kind == "rayjob":
        version, plural, _ = APIS[kind]
        cluster.create(cluster.group(version, plural), job)
        return
    from kubeflow.training import TrainingClient

    training = TrainingClient(
        namespace=cluster.namespace, client_configuration=cluster.configuration
    )
    try:
        training.create_job(job=_model(training, job), namespace=cluster.namespace)
    except RuntimeError as error:
        raise BadInput(f"the training operator refuses the job: {error}") from None


@dataclass(frozen=True)
class _Answer:
    """What kubeflow's client deserialises: a job's JSON, as if the server had sent it."""

    data: str


def _model(training: Any, job: Manifest) -> Any:
    """The client's own class of a job: its create_job takes nothing else."""
    return training.api_client.deserialize(_Answer(json.dumps(job)), "KubeflowOrgV1PyTorchJob")
