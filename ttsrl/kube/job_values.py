"""What the values say of jobs: training, merge, evaluation."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ttsrl.kube.value_types import (
    Image,
    Name,
    PodSettings,
    Quantity,
    Resources,
    Section,
)

Seconds = Annotated[int, Field(ge=1)]
RETRIES = Field(ge=0, le=1000)


class Scratch(Section):
    """Where a pod keeps what is not published yet."""

    type: Literal["emptyDir", "claim", "hostPath"]
    size: Quantity
    request: Quantity | Literal[""]
    storageClass: Name
    path: str = Field(pattern=r"^(/.+)?$")


class JobGpu(Section):
    """Which GPUs."""

    resource: str = Field(pattern=r"^[a-z0-9.-]+/[A-Za-z0-9._-]+$")
    products: list[Annotated[str, Field(min_length=1)]]


class CountedGpu(JobGpu):
    """Which GPUs, and how many for each pod."""

    count: int = Field(ge=0, le=16)


class DeviceClaim(Section):
    """A claim of a pod (dynamic resource allocation)."""

    name: str = Field(min_length=1)
    resourceClaimName: Name
    resourceClaimTemplateName: Name


class PodValues(PodSettings):
    """What any pod of a job may be given."""

    schedulerName: Name
    pool: str
    scratch: Scratch


class GpuPodValues(PodValues):
    """What a pod with GPUs may be given."""

    resourceClaims: list[DeviceClaim]
    shm: Quantity


class JobValues(GpuPodValues):
    """What all jobs have in common."""

    gpu: JobGpu
    queue: Name


class HeadValues(PodValues):
    """The head of a RayJob."""

    shm: Quantity
    objectStoreBytes: int = Field(ge=78_643_200)
    """Ray's least is 75 MiB."""


class Submitter(Section):
    """The pod that hands a RayJob's command to its head."""

    resources: Resources


class PytorchjobValues(Section):
    """What differs where one pod is head and worker."""

    resources: Resources


class RayValues(Section):
    """How Ray is started."""

    version: str = Field(pattern=r"^\d+\.\d+\.\d+")
    slots: int = Field(ge=1)
    auth: bool


class TrainBudget(Section):
    """Whether drains of nodes wait for training."""

    enabled: bool


class Fabric(Section):
    """The network between nodes that train together, where that is not Ethernet."""

    resources: dict[Annotated[str, Field(pattern=r"^[a-z0-9.-]+/[A-Za-z0-9._-]+$")], Quantity]
    hugepages: dict[Annotated[str, Field(pattern=r"^hugepages-[0-9]+[KMG]i$")], Quantity]
    networks: str
    lockMemory: bool
    nccl: dict[Annotated[str, Field(pattern=r"^(NCCL|FI|UCX|GLOO)_[A-Z0-9_]+$")], str]


class TrainValues(GpuPodValues):
    """The training job."""

    create: bool
    gpu: JobGpu
    kind: Literal["rayjob", "pytorchjob", "trainjob"]
    image: Image
    backoffLimit: int = RETRIES
    maxAttempts: int = Field(ge=1, le=1000)
    activeDeadlineSeconds: Seconds
    preRunningDeadlineSeconds: int = Field(ge=0)
    ttlSecondsAfterFinished: int = Field(ge=0)
    terminationGracePeriodSeconds: int = Field(ge=0)
    objectStoreBytes: int = Field(ge=78_643_200)
    podDisruptionBudget: TrainBudget
    fabric: Fabric
    ray: RayValues
    head: HeadValues
    submitter: Submitter
    pytorchjob: PytorchjobValues


class MergeValues(PodValues):
    """The job that merges a checkpoint."""

    backoffLimit: int = RETRIES
    activeDeadlineSeconds: Seconds
    ttlSecondsAfterFinished: int = Field(ge=0)
    waitSeconds: Seconds


class PrefetchValues(PodValues):
    """The job that fills the cache of models."""

    enabled: bool
    source: str = Field(alias="from", pattern=r"^(hub|s3://.+|/.+)$")
    backoffLimit: int = RETRIES
    activeDeadlineSeconds: Seconds


class EvalValues(GpuPodValues):
    """The jobs of an evaluation."""

    image: Image
    shards: int = Field(ge=1, le=1000)
    gpu: CountedGpu
    backoffLimit: int = RETRIES
    activeDeadlineSeconds: Seconds
    ttlSecondsAfterFinished: int = Field(ge=0)
    waitSeconds: Seconds
    reduceWaitSeconds: Seconds
    reduce: PodValues


class MergeBeside(Section):
    """The container that merges beside one that evaluates."""

    resources: Resources


class FollowValues(GpuPodValues):
    """The job that evaluates checkpoints while training runs."""

    gpu: CountedGpu
    backoffLimit: int = RETRIES
    activeDeadlineSeconds: Seconds
    ttlSecondsAfterFinished: int = Field(ge=0)
    idleSeconds: Seconds
    merge: MergeBeside
