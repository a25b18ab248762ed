"""The jobs of a run: the text that the release's chart has rendered of them, filled in.

What they look like is the chart's matter. Here is only what any job has: pods, and what they take.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, cast

import yaml

from ttsrl.kube.names import Names
from ttsrl.kube.objects import Object, entries, part

Kind = Literal["rayjob", "pytorchjob", "trainjob"]
Template = Literal[
    "rayjob",
    "pytorchjob",
    "trainjob",
    "trainingruntime",
    "followjob",
    "mergejob",
    "shardsjob",
    "reducejob",
    "jobset",
]
TEMPLATES: Mapping[Kind, tuple[Template, ...]] = {
    "rayjob": ("rayjob",),
    "pytorchjob": ("pytorchjob",),
    "trainjob": ("trainjob", "trainingruntime"),
}
"""What each kind of training job consists of: the job, and what it refers to."""
Manifest = dict[str, Any]

GPU_NAMES = ("gpu", "mig-")
"""How the names of GPU resources begin, after the vendor: nvidia.com/mig-3g.40gb, amd.com/gpu."""


def fill(text: str, names: Names, config_map: str) -> str:
    """A job's text for one run, whose run.json lies in that ConfigMap."""
    given = {"@job@": names.job, "@run@": names.run, "@config@": config_map}
    for word, value in given.items():
        text = text.replace(word, value)
    return text


def parse(text: str) -> Manifest:
    """The object of a filled-in text."""
    return cast(Manifest, yaml.safe_load(text))


def pods_of(job: Manifest) -> list[tuple[Manifest, int]]:
    """(pod template, how many pods of it) of any job; those of a TrainJob are its runtime's."""
    spec = job["spec"]
    if job["kind"] == "TrainJob":
        return []
    if job["kind"] == "TrainingRuntime":
        [node] = spec["template"]["spec"]["replicatedJobs"]
        return [(node["template"]["spec"]["template"], spec["mlPolicy"]["numNodes"])]
    if job["kind"] == "RayJob":
        cluster = spec["rayClusterSpec"]
        return [
            (spec["submitterPodTemplate"], 1),
            (cluster["headGroupSpec"]["template"], 1),
            *((group["template"], group["replicas"]) for group in cluster["workerGroupSpecs"]),
        ]
    if job["kind"] == "PyTorchJob":
        return [(one["template"], one["replicas"]) for one in spec["pytorchReplicaSpecs"].values()]
    if job["kind"] == "JobSet":
        return [pod for one in spec["replicatedJobs"] for pod in pods_of(_job_of(one))]
    return [(spec["template"], spec.get("completions", 1))]


def machines_of(job: Manifest) -> tuple[int, int]:
    """(machines that train, GPUs of each); on CPUs Ray is told of slots in their place."""
    if job["kind"] == "RayJob":
        [group] = job["spec"]["rayClusterSpec"]["workerGroupSpecs"]
        return group["replicas"], int(group["rayStartParams"]["num-gpus"])
    pods = pods_of(job)
    return sum(count for _, count in pods), gpus_of(pods[0][0])


def gpus_of(pod: Manifest) -> int:
    """GPUs that a pod asks for."""
    return sum(
        int(amount)
        for container in entries(pod, "spec", "containers")
        for name, amount in part(container, "resources", "limits").items()
        if name.partition("/")[2].startswith(GPU_NAMES)
    )


def mounted(job: Manifest) -> dict[str, Object]:
    """Name of a volume -> the volume, of all pods of a job."""
    return {
        volume["name"]: volume
        for pod, _ in pods_of(job)
        for volume in entries(pod, "spec", "volumes")
    }


def _job_of(replicated: Manifest) -> Manifest:
    return {"kind": "Job", "spec": replicated["template"]["spec"]}
