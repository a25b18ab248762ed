"""The training job of a run: create it, find it, stop it."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any, get_args

import yaml

from ttsrl.errors import BadInput, Failure
from ttsrl.kube import trainer
from ttsrl.kube.cluster import Cluster
from ttsrl.kube.manifests import TEMPLATES, Kind, Manifest, Template, parse
from ttsrl.kube.names import RUN_LABEL, Names
from ttsrl.kube.objects import Object, labels_of, part
from ttsrl.kube.queueing import QUEUE_LABEL
from ttsrl.kube.readiness import APIS, examine, refuse
from ttsrl.kube.release import Release
from ttsrl.kube.runs import ClusterRun, give_to, hold
from ttsrl.kube.state import state_of
from ttsrl.kube.suspend import resume

RUN_HASH = "ttsrl.dev/run-sha256"
"""Annotation of a job: which run it was made for."""
INSTANCE = "app.kubernetes.io/instance"
DELETE_DEADLINE_S = 180.0
POLL_S = 1.0


def job_for(release: Release, run: ClusterRun, kind: Kind, queue: str | None = None) -> Manifest:
    """The training job of a run, as it is created."""
    return objects_for(release, run, kind, queue)[0]


def objects_for(
    release: Release, run: ClusterRun, kind: Kind, queue: str | None = None
) -> list[Manifest]:
    """The training job of a run, and what it refers to; the last of them has the pods."""
    return [made(release, run, template, queue) for template in TEMPLATES[kind]]


def made(
    release: Release, run: ClusterRun, template: Template, queue: str | None = None
) -> Manifest:
    """A job of a run, which its release owns. `queue`: Kueue's, in place of the values'."""
    job = parse(release.job(template, run.names, run.config_map))
    metadata = job["metadata"]
    metadata["annotations"] = {**part(job, "metadata", "annotations"), RUN_HASH: run.digest}
    metadata["ownerReferences"] = [release.owner]
    if queue is not None:
        metadata["labels"][QUEUE_LABEL] = queue
    return job


def printed(release: Release, run: ClusterRun, kind: Kind, queue: str | None = None) -> str:
    """What `submit` creates, as YAML for a repository or for kubectl: there nothing owns it."""
    templates: list[Template] = [*TEMPLATES[kind]]
    if run.run.eval.during_training is not None:
        templates.append("followjob")
    objects: list[Any] = [run.manifest()]
    for template in templates:
        job = made(release, run, template, queue)
        del job["metadata"]["ownerReferences"]
        objects.append(job)
    return yaml.safe_dump_all(objects, sort_keys=False, allow_unicode=True, width=100)


def submit(
    cluster: Cluster, release: Release, run: ClusterRun, kind: Kind, queue: str | None = None
) -> str:
    """Start training, once: returns what was done, in words.

    A job that runs already is left alone; one that has ended is created anew, and resumes from the
    last published checkpoint. Raises BadInput before anything starts where something is amiss.
    """
    job, *others = objects_for(release, run, kind, queue)
    name = job["metadata"]["name"]
    for other in get_args(Kind):
        there = find(cluster, run.names, other)
        if there is None:
            continue
        state = state_of(there)
        if there["metadata"]["name"] != name:
            return _of_the_release(cluster, kind, other, there)
        if not state.has_ended:
            if state.phase == "paused" and _is_the_same(there, job):
                resume(cluster, path_of(cluster, other, there), other)
                return f"{there['kind']} {name} was suspended, and runs again"
            if state.phase == "paused":
                hold(cluster, release, run)
                delete(cluster, run.names, other)
                continue
            _check_same_job(there, job, kind, other, name)
            return f"{there['kind']} {name} is there already: {state.words}"
        hold(cluster, release, run)  # else it might go with the job that is deleted
        delete(cluster, run.names, other)
    refuse(examine(cluster, release, kind, [job, *others][-1], run.run))
    hold(cluster, release, run)
    for other in others:
        trainer.create_runtime(cluster, other)
    _create(cluster, kind, job)
    created = find(cluster, run.names, kind)
    if created is not None:
        give_to(cluster, release, run, [created])
        for other in others:
            trainer.give_runtime(cluster, other, created)
    return f"{job['kind']} {name} created in {cluster.namespace}"


def find(cluster: Cluster, names: Names, kind: Kind) -> Object | None:
    """The training job of a release, of one kind."""
    version, plural, _ = APIS[kind]
    collection = cluster.group(version, plural)
    found = cluster.get(f"{collection}/{names.train}") or made_by_values(
        cluster, names, collection, "train"
    )
    if found is not None and labels_of(found).get(INSTANCE) != names.release:
        raise BadInput(
            f"{found['kind']} {names.train} belongs to the release "
            f"{labels_of(found).get(INSTANCE)!r}, not to {names.release!r}; give the run another "
            "--name"
        )
    return found


def made_by_values(
    cluster: Cluster, names: Names, collection: str, component: str
) -> Object | None:
    """What `train.create` has made of the release's own run, whose content is part of its name."""
    if not names.own:
        return None
    selector = f"{names.selector},app.kubernetes.io/component={component}"
    found = in_order(cluster.items(collection, {"labelSelector": selector}) or [])
    return found[-1] if found else None


def path_of(cluster: Cluster, kind: Kind, job: Object) -> str:
    """Where the API has a training job."""
    version, plural, _ = APIS[kind]
    return cluster.group(version, f"{plural}/{job['metadata']['name']}")


def runs(cluster: Cluster, names: Names) -> list[Object]:
    """The training jobs of all runs of a release, oldest first."""
    selector = f"{INSTANCE}={names.release},app.kubernetes.io/component=train"
    found: list[Object] = []
    for version, plural, _ in APIS.values():
        listed = cluster.items(cluster.group(version, plural), {"labelSelector": selector}) or []
        found += [{"apiVersion": version, **job} for job in listed]
    return sorted(found, key=lambda job: job["metadata"]["creationTimestamp"])


def run_line(job: Object) -> str:
    """`exp7: RayJob ttsrl-exp7-train: running, attempt 1 of 6`."""
    run = labels_of(job).get(RUN_LABEL, "?")
    return f"{run}: {job['kind']} {job['metadata']['name']}: {state_of(job).words}"


def the_job(cluster: Cluster, names: Names) -> tuple[Kind, Object]:
    """The training job of a release, of whichever kind. Raises BadInput where there is none."""
    for kind in get_args(Kind):
        if (found := find(cluster, names, kind)) is not None:
            return kind, found
    others = [labels_of(job).get(RUN_LABEL, "?") for job in runs(cluster, names)]
    there = f"; there are runs {', '.join(others)}: give --run" if others else ""
    raise BadInput(
        f"no training job {names.train!r} in the namespace {cluster.namespace}{there}; start one: "
        "`ttsrl submit`, or kubectl apply -f jobs/train"
    )


def delete(cluster: Cluster, names: Names, kind: Kind) -> None:
    """Delete a job and its pods, and wait until they are gone. Raises Failure."""
    if (job := find(cluster, names, kind)) is not None:
        cluster.delete(path_of(cluster, kind, job), foreground=True)
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
    return in_order(cluster.items(cluster.core("pods"), selector_of_pods(names)) or [])


def selector_of_pods(names: Names) -> dict[str, str]:
    """For a list of the training job's pods."""
    return {"labelSelector": f"{names.selector},app.kubernetes.io/component=train"}


def in_order(found: list[Any]) -> list[Any]:
    """Oldest first."""
    return sorted(found, key=lambda pod: pod["metadata"]["creationTimestamp"])


def driver(kind: Kind, found: list[Any]) -> Object | None:
    """The pod in whose log the supervisor speaks: the newest submitter, or the master."""
    label, value = {
        "rayjob": ("batch.kubernetes.io/job-name", None),  # Ray's own pods are of no Job
        "pytorchjob": ("training.kubeflow.org/replica-type", "master"),
        "trainjob": ("batch.kubernetes.io/job-completion-index", "0"),
    }[kind]
    labels = [(pod, part(pod, "metadata", "labels")) for pod in found]
    fitting = [pod for pod, of in labels if label in of and value in (None, of[label])]
    return fitting[-1] if fitting else None


def _of_the_release(cluster: Cluster, wanted: Kind, kind: Kind, job: Object) -> str:
    """What becomes of a job that `train.create` has made: Helm, or what stands for it, would make
    it again beside another one."""
    what, state = f"{job['kind']} {job['metadata']['name']}", state_of(job)
    if kind != wanted:
        raise BadInput(f"{what} is an object of the release, which has train.kind: {kind}")
    if state.has_ended:
        raise BadInput(
            f"{what} is an object of the release (train.create) and has ended: {state.words}. "
            "Change the run in the release's values; to start the same again, kubectl delete the "
            "job and helm upgrade the release"
        )
    if state.phase == "paused":
        resume(cluster, path_of(cluster, kind, job), kind)
        return f"{what} was suspended, and runs again"
    return f"{what} is there already: {state.words}"


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
            f"{there['kind']} {name} runs with another configuration than this one; "
            "`ttsrl stop` it first, then submit again; or give this one another --name"
        )


def _create(cluster: Cluster, kind: Kind, job: Manifest) -> None:
    if kind != "pytorchjob":
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
