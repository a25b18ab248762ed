"""The committed manifests of training and of what follows it, with an overlay, for any release.

What `ttsrl submit` creates is what kubectl would: jobs/train/base or pytorchjob, jobs/follow/base,
an overlay's patches, and names. Of kustomize this knows what the overlays use, and refuses the
rest; a test holds it equal to kustomize's own output.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast

import yaml

from ttsrl.errors import BadInput, Failure
from ttsrl.kube.names import Names
from ttsrl.runtime.resources import resource

Kind = Literal["rayjob", "pytorchjob"]
Manifest = dict[str, Any]

TRAIN, FOLLOW = resource("jobs/train"), resource("jobs/follow")
BASES: Mapping[Kind, Path] = {"rayjob": TRAIN / "base", "pytorchjob": TRAIN / "pytorchjob"}
COMMITTED = Names("ttsrl")
"""The release that the committed manifests are for."""
INSTANCE = "app.kubernetes.io/instance"


def training_job(
    kind: Kind,
    names: Names,
    *,
    overlay: str | None = None,
    image: str | None = None,
    queue: str | None = None,
) -> Manifest:
    """The RayJob or PyTorchJob of a release. Raises BadInput for an overlay that is none."""
    folder = BASES[kind] if overlay is None else _overlay(overlay)
    job = render(folder)
    if job["kind"].lower() != kind:
        raise BadInput(f"the overlay {overlay!r} is of a {job['kind']}; give it with its --kind")
    job = cast(Manifest, _renamed(job, names))
    if image is not None:
        for pod in pod_templates(job):
            for container in pod["spec"]["containers"]:
                container["image"] = image
    if queue is not None:
        job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] = queue
    return job


def following_job(
    names: Names, *, on_cpu: bool, images: Mapping[str, str | None], queue: str | None = None
) -> Manifest:
    """The Job that evaluates a release's checkpoints; `images`: name -> the one to take instead."""
    job = cast(Manifest, _renamed(render(FOLLOW / ("overlays/cpu" if on_cpu else "base")), names))
    pod = job["spec"]["template"]["spec"]
    for container in (*pod["initContainers"], *pod["containers"]):
        container["image"] = images[container["image"].partition(":")[0]] or container["image"]
    if queue is not None:
        job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] = queue
    return job


def overlays() -> list[str]:
    """Names of the overlays."""
    return sorted(folder.name for folder in (TRAIN / "overlays").iterdir() if folder.is_dir())


def render(folder: Path) -> Manifest:
    """The one object of a kustomization."""
    kustomization = _read(folder / "kustomization.yaml")
    unknown = kustomization.keys() - {"apiVersion", "kind", "resources", "patches", "replacements"}
    if unknown:
        raise Failure(f"{folder}: only kustomize itself renders {sorted(unknown)}")
    [resource] = kustomization["resources"]
    path = folder / resource
    job = render(path) if path.is_dir() else _read(path)
    for patch in kustomization.get("patches", []):
        for change in yaml.safe_load(patch["patch"]):
            _change(job, change["op"], change["path"], change.get("value"))
    for replacement in kustomization.get("replacements", []):
        value = _at(job, replacement["source"]["fieldPath"].split("."))
        for target in replacement["targets"]:
            for field in target["fieldPaths"]:
                _change(job, "replace", "/" + field.replace(".", "/"), value)
    return job


def pod_templates(job: Manifest) -> list[Manifest]:
    """The pods of a RayJob (submitter, head, workers) or PyTorchJob (master, workers)."""
    return [template for template, _ in pods_of(job)]


def pods_of(job: Manifest) -> list[tuple[Manifest, int]]:
    """(pod template, how many pods of it) of a job."""
    spec = job["spec"]
    if job["kind"] == "RayJob":
        cluster = spec["rayClusterSpec"]
        return [
            (spec["submitterPodTemplate"], 1),
            (cluster["headGroupSpec"]["template"], 1),
            *((group["template"], group["replicas"]) for group in cluster["workerGroupSpecs"]),
        ]
    return [(one["template"], one["replicas"]) for one in spec["pytorchReplicaSpecs"].values()]


def machines_of(job: Manifest) -> tuple[int, int]:
    """(machines that train, GPUs of each); on CPUs Ray is told of slots in their place."""
    if job["kind"] == "RayJob":
        [group] = job["spec"]["rayClusterSpec"]["workerGroupSpecs"]
        slots = int(group["rayStartParams"].get("num-gpus", 0))
        return group["replicas"], gpus_of(group["template"]) or slots
    pods = pods_of(job)
    return sum(count for _, count in pods), gpus_of(pods[0][0])


def gpus_of(pod: Manifest) -> int:
    """GPUs that a pod asks for."""
    containers = pod["spec"]["containers"]
    return sum(int(c["resources"].get("limits", {}).get("nvidia.com/gpu", 0)) for c in containers)


def _overlay(name: str) -> Path:
    if name not in overlays():
        raise BadInput(f"no overlay {name!r}; there are {', '.join(overlays())}")
    return TRAIN / "overlays" / name


def _read(file: Path) -> Manifest:
    # through JSON, because an alias of YAML is one object that a patch would change everywhere
    return json.loads(json.dumps(yaml.safe_load(file.read_text(encoding="utf-8"))))


def _change(job: Manifest, op: str, path: str, value: Any) -> None:
    """One operation of a JSON patch on what has a name or a place."""
    *parents, last = path.strip("/").split("/")
    parent: Any = _at(job, parents)
    key: Any = int(last) if isinstance(parent, list) else last
    if op not in ("add", "replace", "remove") or (isinstance(parent, list) and op != "replace"):
        raise Failure(f"only kustomize itself knows the patch {op} {path}")
    if op != "add" and isinstance(parent, dict) and key not in parent:
        raise Failure(f"the patch changes {path}, which is not there")
    if op == "remove":
        del parent[key]
    else:
        parent[key] = value


def _at(node: Any, path: Sequence[str]) -> Any:
    for part in path:
        node = node[int(part) if isinstance(node, list) else part]
    return node


def _renamed(node: Any, names: Names) -> Any:
    """The same with another release's names."""
    properties = ("run", "env", "token", "s3", "huggingface", "trackers", "models")
    properties += ("train", "jobs", "follow")
    new = {getattr(COMMITTED, name): getattr(names, name) for name in properties}

    def walk(node: Any) -> Any:
        if isinstance(node, dict):
            return {
                key: names.release if key == INSTANCE else walk(value)
                for key, value in cast(Manifest, node).items()
            }
        if isinstance(node, list):
            return [walk(value) for value in cast("list[Any]", node)]
        return new.get(node, node) if isinstance(node, str) else node

    return walk(node)
