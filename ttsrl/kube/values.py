"""What the values of the Helm chart may be: the RunConfig and the facts of Kubernetes beside it.

    ttsrl config --values-schema > helm/values.schema.json

Helm checks values against that file before it renders anything. Defaults, and what each value
means, stand in helm/values.yaml alone; here are only types and limits. What relates one value to
another is refused by helm/templates/refusals.yaml.
"""

from __future__ import annotations

from typing import Annotated, Literal, cast

from pydantic import Field

from ttsrl.config.schema import RunConfig
from ttsrl.kube.job_values import (
    DeviceClaim,
    EvalValues,
    FollowValues,
    JobValues,
    MergeValues,
    PrefetchValues,
    TrainValues,
)
from ttsrl.kube.value_types import (
    Duration,
    Image,
    JsonSchema,
    KubernetesObject,
    Labels,
    Name,
    PodSettings,
    Quantity,
    Reference,
    Resources,
    Section,
    Share,
    Toleration,
)

LARGEST_EXACT_INTEGER = 2**53 - 1
"""Helm holds numbers as float64: a larger integer would silently become another."""


class Images(Section):
    """What all images have in common."""

    registry: str
    tag: str = Field(pattern=r"^([\w][\w.-]{0,127})?$")
    pullPolicy: Literal["Always", "IfNotPresent", "Never"]
    pullSecrets: list[Reference]


class GpuValues(Section):
    """GPUs of a replica."""

    count: int = Field(ge=0, le=16)
    resource: str = Field(pattern=r"^[a-z0-9.-]+/[A-Za-z0-9._-]+$")
    products: list[Annotated[str, Field(min_length=1)]]


class Fallback(Section):
    """What KEDA does while Prometheus does not answer."""

    failureThreshold: int = Field(ge=1)
    replicas: int = Field(ge=1)
    behavior: Literal[
        "static", "currentReplicas", "currentReplicasIfHigher", "currentReplicasIfLower"
    ]


class Keda(Section):
    """Scaling by KEDA on waiting utterances."""

    enabled: bool
    serverAddress: str = Field(pattern=r"^https?://")
    queueDepth: float = Field(gt=0)
    query: str
    pollingInterval: int = Field(ge=1)
    cooldownPeriod: int = Field(ge=0)
    fallback: Fallback
    authenticationRef: KubernetesObject
    extraTriggers: list[KubernetesObject]


class Hpa(Section):
    """Scaling by Kubernetes alone, on CPU use."""

    enabled: bool
    cpuUtilization: int = Field(ge=1, le=100)
    extraMetrics: list[KubernetesObject]


class Autoscaling(Section):
    """Limits and the autoscaler; at most one."""

    minReplicas: int = Field(ge=0)
    maxReplicas: int = Field(ge=1)
    keda: Keda
    hpa: Hpa
    behavior: KubernetesObject


class DisruptionBudget(Section):
    """Replicas that a drain of nodes may take, or must leave."""

    enabled: bool
    maxUnavailable: Share | Literal[""]
    minAvailable: Share | Literal[""]


class RollingUpdate(Section):
    """How an upgrade replaces replicas."""

    maxSurge: Share
    maxUnavailable: Share


class Probe(Section):
    """Timings of one probe; what it asks is the chart's."""

    initialDelaySeconds: int = Field(ge=0)
    periodSeconds: int = Field(ge=1)
    timeoutSeconds: int = Field(ge=1)
    failureThreshold: int = Field(ge=1)


class Probes(Section):
    """Timings of the probes."""

    startup: Probe
    readiness: Probe
    liveness: Probe


class Service(Section):
    """The Service before the reward service."""

    type: Literal["ClusterIP", "NodePort", "LoadBalancer"]
    annotations: dict[str, str]
    ipFamilyPolicy: Literal["", "SingleStack", "PreferDualStack", "RequireDualStack"]
    ipFamilies: list[Literal["IPv4", "IPv6"]] = Field(max_length=2)


class Reward(PodSettings):
    """How the reward service runs."""

    enabled: bool
    image: Image
    replicas: int = Field(ge=1)
    gpu: GpuValues
    resourceClaims: list[DeviceClaim]
    autoscaling: Autoscaling
    podDisruptionBudget: DisruptionBudget
    rollingUpdate: RollingUpdate
    progressDeadlineSeconds: int = Field(ge=0)
    minReadySeconds: int = Field(ge=0)
    revisionHistoryLimit: int = Field(ge=0)
    preStopSeconds: int = Field(ge=0)
    probes: Probes
    service: Service
    initContainers: list[KubernetesObject]


class Account(Section):
    """A ServiceAccount."""

    create: bool
    name: Name
    annotations: dict[str, str]
    labels: Labels


class Accounts(Section):
    """ServiceAccounts of the release."""

    reward: Account
    train: Account
    jobs: Account


class Subject(Section):
    """Whom a RoleBinding binds."""

    kind: Literal["User", "Group", "ServiceAccount"]
    name: str = Field(min_length=1)
    namespace: str
    apiGroup: str


class S3(Section):
    """Object storage."""

    endpoint: str = Field(pattern=r"^(https?://.+)?$")
    region: str = Field(min_length=1)
    existingSecret: Name


class HuggingFace(Section):
    """The hub that models come from."""

    existingSecret: Name
    offline: bool


class TrackerKeys(Section):
    """Where runs are shown beside their log."""

    existingSecret: Name


class Token(Section):
    """The bearer token of the scoring routes."""

    existingSecret: Name


class Models(Section):
    """The cache of models."""

    enabled: bool
    existingClaim: Name
    hostPath: str = Field(pattern=r"^(/.+)?$")
    storageClass: str
    accessModes: list[Literal["ReadWriteOnce", "ReadWriteMany", "ReadWriteOncePod"]] = Field(
        min_length=1
    )
    size: Quantity
    annotations: dict[str, str]
    keep: bool
    keepCompiled: bool


class Egress(Section):
    """Where all pods may connect to."""

    enabled: bool
    dns: list[KubernetesObject]
    ports: list[Annotated[int, Field(ge=1, le=65535)]]
    blocked: list[Annotated[str, Field(pattern=r"^[0-9a-fA-F.:]+/[0-9]+$")]]
    to: list[KubernetesObject]


class NetworkPolicies(Section):
    """Who may reach the pods."""

    enabled: bool
    metricsFrom: list[KubernetesObject]
    rewardFrom: list[KubernetesObject]
    rayFrom: list[KubernetesObject]
    trainTo: list[KubernetesObject]
    egress: Egress


class Monitor(Section):
    """A ServiceMonitor or PodMonitor."""

    enabled: bool
    additionalLabels: Labels
    interval: Duration


class Thresholds(Section):
    """When alerts fire."""

    availabilityObjective: float = Field(gt=0, lt=1)
    latencyObjective: float = Field(gt=0, lt=1)
    sloSeconds: Literal["2.5", "5.0", "10.0", "30.0", "60.0", "120.0", "300.0"]
    errorShare: float = Field(gt=0, le=1)
    gatedShare: float = Field(gt=0, le=1)
    rejectedShare: float = Field(gt=0, le=1)
    waitingShare: float = Field(gt=0, le=1)
    restarts: int = Field(ge=1)
    modelsFree: float = Field(gt=0, lt=1)
    idlePercent: float = Field(gt=0, le=100)


class Prices(Section):
    """Of a GPU-hour, by component."""

    reward: float = Field(ge=0)
    train: float = Field(ge=0)
    merge: float = Field(ge=0)
    eval: float = Field(ge=0)
    follow: float = Field(ge=0)


class AlertChange(Section):
    """What of one alert is another than the chart's."""

    enabled: bool
    duration: Duration = Field(alias="for")
    labels: Labels


class Rules(Section):
    """The PrometheusRule."""

    enabled: bool
    additionalLabels: Labels
    runbookUrl: str = Field(min_length=1)
    thresholds: Thresholds
    pricePerGpuHour: Prices
    alerts: dict[Annotated[str, Field(pattern=r"^Ttsrl[A-Za-z]+$")], AlertChange]


class Dashboards(Section):
    """Dashboards for Grafana's sidecar."""

    enabled: bool
    namespace: Name
    labels: Labels
    annotations: dict[str, str]


class MetricsValues(Section):
    """Prometheus and Grafana."""

    serviceMonitor: Monitor
    podMonitor: Monitor
    prometheusRule: Rules
    dashboards: Dashboards


class PriorityClass(Section):
    """A PriorityClass of this release."""

    create: bool
    value: int = Field(ge=-2_147_483_648, le=1_000_000_000)
    preemptionPolicy: Literal["PreemptLowerPriority", "Never"]


class Kueue(Section):
    """Quota by Kueue."""

    clusterQueue: Name


class ProxyValues(Section):
    """The way out of the cluster."""

    http: str = Field(pattern=r"^(https?://.+)?$")
    https: str = Field(pattern=r"^(https?://.+)?$")
    exceptions: list[Annotated[str, Field(pattern=r"^[^\s,]+$")]]


class Certificates(Section):
    """A bundle of the authorities that pods trust."""

    configMap: Name
    secret: Name
    key: str = Field(pattern=r"^[-._a-zA-Z0-9]+$")


class Tests(Section):
    """Pods of `helm test`."""

    hookDeletePolicy: Literal["before-hook-creation", "before-hook-creation,hook-succeeded"]
    resources: Resources
    nodeSelector: dict[str, str]
    tolerations: list[Toleration]


class Values(Section):
    """All values of the chart."""

    run: RunConfig
    texts: str = Field(max_length=500_000)
    fullnameOverride: Name
    commonLabels: Labels
    commonAnnotations: dict[str, str]
    image: Images
    podSecurityContext: KubernetesObject
    containerSecurityContext: KubernetesObject
    reward: Reward
    job: JobValues
    train: TrainValues
    merge: MergeValues
    eval: EvalValues
    follow: FollowValues
    prefetch: PrefetchValues
    serviceAccounts: Accounts
    submitters: list[Subject]
    s3: S3
    huggingface: HuggingFace
    trackers: TrackerKeys
    token: Token
    models: Models
    networkPolicy: NetworkPolicies
    metrics: MetricsValues
    priorityClass: PriorityClass
    kueue: Kueue
    proxy: ProxyValues
    certificates: Certificates
    tests: Tests
    extraObjects: list[KubernetesObject | str]


def values_schema() -> JsonSchema:
    """JSON schema of the chart's values, in the draft that every Helm 3 and 4 reads."""
    schema = Values.model_json_schema()
    schema["$defs"]["RunConfig"]["required"].remove("name")  # the release's name
    schema["properties"]["global"] = {"type": "object"}  # Helm itself adds it
    _simplify(schema)
    return {"$schema": "http://json-schema.org/draft-07/schema#", **schema}


def _simplify(node: object) -> None:
    """Drop titles, which repeat the keys; bound integers by what Helm can hold; close mappings."""
    if isinstance(node, list):
        for item in cast("list[object]", node):
            _simplify(item)
    if not isinstance(node, dict):
        return
    schema = cast("JsonSchema", node)
    if isinstance(schema.get("title"), str):
        del schema["title"]
    if schema.get("type") == "integer" and not schema.keys() & {"maximum", "exclusiveMaximum"}:
        schema["maximum"] = LARGEST_EXACT_INTEGER
    if "patternProperties" in schema:
        schema["additionalProperties"] = False
    for item in schema.values():
        _simplify(item)
