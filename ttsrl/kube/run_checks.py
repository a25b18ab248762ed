"""What a run itself must have right before a GPU is spent, as far as this machine can tell.

Its pods check the same again, with what only they have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from ttsrl.config.schema import RunConfig
from ttsrl.config.tracking import TrackerConfig
from ttsrl.data.audit_clips import clips_of, no_clips
from ttsrl.guards.armed import armed
from ttsrl.kube.cluster import Cluster, HiddenError
from ttsrl.kube.manifests import Manifest, pods_of
from ttsrl.kube.objects import entries, part
from ttsrl.runtime.doctor import Check
from ttsrl.tracking.registry import lacks_in_pod

Look = Callable[[], Check]


def looks_at(cluster: Cluster, run: RunConfig, job: Manifest) -> Mapping[str, Look]:
    """Name of a check -> the check, which may raise BadInput and HiddenError."""
    if run.dpo is not None:
        return {"training": _learns_from_pairs}
    looks: dict[str, Look] = {"guards": lambda: _guards(run)}
    if run.guards.audit != "off":
        looks["audit clips"] = lambda: _clips(run)
    for tracker in run.trackers:
        looks[f"tracker {tracker.type}"] = partial(_tracker, cluster, tracker, job)
    return looks


def _learns_from_pairs() -> Check:
    found = "the run learns from pairs (dpo), which `ttsrl train` does on one machine"
    return Check("training", "bad", found, "leave dpo out for a cluster")


def _guards(run: RunConfig) -> Check:
    return Check("guards", "ok", f"{len(armed(run).guards)} watch the run")


def _clips(run: RunConfig) -> Check:
    named = run.guards.audit_clips
    if named is not None and not Path(named).exists():
        return Check("audit clips", "note", f"{named} is of the pods: they check it")
    clips = clips_of(run)
    return Check("audit clips", "ok", no_clips(run) if clips is None else f"{len(clips.clips)}")


def _tracker(cluster: Cluster, tracker: TrackerConfig, job: Manifest) -> Check:
    name = f"tracker {tracker.type}"
    secrets = sorted({secret for kind, secret in _sources(job) if kind == "secretRef"})
    try:
        known = set(_variables(cluster, job))
    except HiddenError:
        return Check(name, "note", f"this user may not see {' and '.join(secrets)}")
    if lacking := lacks_in_pod(tracker, known):
        where = f"to the Secret {secrets[0]}" if secrets else "by the values' env"
        return Check(name, "bad", lacking, f"add it {where}")
    return Check(name, "ok", "has what it needs")


def _variables(cluster: Cluster, job: Manifest) -> Iterator[str]:
    """Names of the environment variables of a job's containers."""
    for pod, _ in pods_of(job):
        for container in entries(pod, "spec", "containers"):
            yield from (variable["name"] for variable in entries(container, "env"))
    for kind, name in _sources(job):
        plural = "secrets" if kind == "secretRef" else "configmaps"
        yield from part(cluster.get(cluster.core(f"{plural}/{name}")) or {}, "data")


def _sources(job: Manifest) -> set[tuple[str, str]]:
    """(secretRef or configMapRef, name) of what the containers take all variables from."""
    return {
        (kind, str(source["name"]))
        for pod, _ in pods_of(job)
        for container in entries(pod, "spec", "containers")
        for origin in entries(container, "envFrom")
        for kind, source in origin.items()
        if kind in ("secretRef", "configMapRef")
    }
