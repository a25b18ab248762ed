"""Whether a run's storage is a folder that all pods of a job share. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from ttsrl.kube.manifests import Manifest, pods_of
from ttsrl.kube.objects import Object, entries
from ttsrl.runtime.doctor import Check

WHAT = "storage"
OWN = ("emptyDir", "ephemeral", "configMap", "secret", "projected", "downwardAPI")
"""Kinds of volumes that each pod has for itself, or cannot write to."""
ADVICE = "mount a volume that all pods share there: job.extraVolumes and job.extraVolumeMounts"


def look_at(job: Manifest, storage: str) -> Check:
    """Whether each container that reads the run has a shared volume at an absolute path."""
    found: dict[str, Object] = {}
    for pod, container in _that_read_the_run(job):
        volume = _volume_at(pod, container, storage)
        if volume is None:
            lacking = f"{storage}: {container['name']} has no volume there"
            return Check(WHAT, "bad", lacking, ADVICE)
        found[volume["name"]] = volume
    for name, volume in found.items():
        if kind := next((kind for kind in OWN if kind in volume), None):
            return Check(WHAT, "bad", f"{storage}: the volume {name} is an {kind}", ADVICE)
    where = f"{storage} on the volume {' and '.join(found)}"
    if any("hostPath" in volume for volume in found.values()):
        return Check(
            WHAT, "note", f"{where}, a hostPath", "right where all nodes have one file system there"
        )
    return Check(WHAT, "ok", where)


def _that_read_the_run(job: Manifest) -> Iterator[tuple[Manifest, Object]]:
    for pod, _ in pods_of(job):
        for container in entries(pod, "spec", "containers"):
            if any(mount["name"] == "run" for mount in entries(container, "volumeMounts")):
                yield pod, container


def _volume_at(pod: Manifest, container: Object, path: str) -> Object | None:
    """The volume whose mount is nearest above a path."""
    above = {str(one) for one in (PurePosixPath(path), *PurePosixPath(path).parents)}
    mounts = [one for one in entries(container, "volumeMounts") if _clean(one) in above]
    if not mounts:
        return None
    nearest = max(mounts, key=lambda one: len(_clean(one)))
    return next(one for one in entries(pod, "spec", "volumes") if one["name"] == nearest["name"])


def _clean(mount: Object) -> str:
    return str(PurePosixPath(mount["mountPath"]))
