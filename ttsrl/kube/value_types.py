"""Types of the chart's values that several parts of them use."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from ttsrl.base import Strict

JsonSchema = dict[str, Any]

KubernetesObject = dict[str, Any]
"""Passed on as it is; Kubernetes itself checks it."""
Labels = dict[
    Annotated[
        str, Field(pattern=r"^([a-z0-9.-]+/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$")
    ],
    str,
]
Name = Annotated[str, Field(pattern=r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?)?$")]
"""Of an object; empty is the chart's own choice."""
Quantity = Annotated[str, Field(pattern=r"^[0-9.]+(m|[kMGTPE]i?)?$")] | float
Share = Annotated[int, Field(ge=0)] | Annotated[str, Field(pattern=r"^[0-9]{1,3}%$")]
"""A number of pods, or per cent of them."""
Duration = Annotated[str, Field(pattern=r"^([0-9]+(ms|s|m|h))+$")]


def _plain(schema: JsonSchema) -> None:
    """A section as Helm sees it: values.yaml gives every default, so nothing is required."""
    for key in ("required", "description"):
        schema.pop(key, None)


class Section(Strict):
    """Part of the values; its fields are optional and have their defaults in values.yaml."""

    model_config = ConfigDict(json_schema_extra=_plain)


class Image(Section):
    """An image of the release; a digest wins over a tag."""

    repository: str = Field(min_length=1)
    tag: str = Field(pattern=r"^([\w][\w.-]{0,127})?$")
    digest: str = Field(pattern=r"^(sha256:[0-9a-f]{64})?$")


class Reference(Section):
    """Names an object of the same namespace."""

    name: str


class Resources(Section):
    """Requests and limits of a container."""

    requests: dict[str, Quantity]
    limits: dict[str, Quantity]


class Toleration(Section):
    """One toleration of a pod."""

    key: str
    operator: Literal["Exists", "Equal"]
    value: str
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"]
    tolerationSeconds: int = Field(ge=0)


class EnvironmentVariable(Section):
    """One variable of a container's environment."""

    name: str
    value: str
    valueFrom: KubernetesObject


class PodSettings(Section):
    """What any pod may be given, of the reward service or of a job."""

    nodeSelector: dict[str, str]
    tolerations: list[Toleration]
    affinity: KubernetesObject
    topologySpreadConstraints: list[KubernetesObject]
    priorityClassName: Name
    runtimeClassName: Name
    podLabels: Labels
    podAnnotations: dict[str, str]
    extraEnv: list[EnvironmentVariable]
    extraEnvFrom: list[KubernetesObject]
    extraVolumes: list[KubernetesObject]
    extraVolumeMounts: list[KubernetesObject]
    resources: Resources
