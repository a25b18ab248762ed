"""Values that the chart refuses before anything is installed, and what it says about them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import helm_python as helm
import pytest
import yaml

from support.helm_chart import CHART, STORAGE, read_values, render
from support.releases import release as release_of
from ttsrl.config.schema import RunConfig
from ttsrl.errors import BadInput
from ttsrl.kube.job_values import JobGpu, PodValues, Scratch
from ttsrl.kube.names import Names
from ttsrl.kube.values import Values, values_schema


def nested(path: str, value: Any) -> dict[str, Any]:
    """`a.b` and a value -> {"a": {"b": value}}."""
    for key in reversed(path.split(".")):
        value = {key: value}
    return value


def merged(*parts: dict[str, Any]) -> dict[str, Any]:
    whole: dict[str, Any] = {}
    for part in parts:
        for key, value in part.items():
            inner = whole.get(key)
            whole[key] = merged(inner, value) if isinstance(inner, dict) else value
    return whole


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("rewrd", {}, "additional properties 'rewrd' not allowed"),
        ("run.train.stepz", 3, "'/run/train': additional properties 'stepz' not allowed"),
        ("reward.autoscaling.keda.treshold", 3, "'treshold' not allowed"),
        ("run.train.steps", "many", "'/run/train/steps': got string, want integer"),
        ("train.fabric.hugepages", {"2Mi": "1Gi"}, "'/train/fabric/hugepages'"),
        ("train.fabric.nccl", {"PATH": "/bin"}, "'/train/fabric/nccl'"),
        ("run.train.steps", 0, "'/run/train/steps': minimum: got 0, want 1"),
        ("run.rollout.group_size", 1, "'/run/rollout/group_size': minimum"),
        ("run.name", "My_Run", "'My_Run' does not match pattern"),
        ("run.seed", 2**53, "'/run/seed': maximum"),
        ("run.family", "gpt", "value must be one of 'llasa', 'cosyvoice2', 'cosyvoice3'"),
        ("reward.replicas", 0, "'/reward/replicas': minimum: got 0, want 1"),
        ("reward.replicas", 1.5, "want integer"),
        ("reward.replicas", "2", "got string, want integer"),
        ("reward.autoscaling.minReplicas", -1, "'/reward/autoscaling/minReplicas': minimum"),
        ("networkPolicy.egress.blocked", ["metadata"], "does not match pattern"),
        ("metrics.prometheusRule.thresholds.sloSeconds", "7.0", "must be one of"),
        ("reward.autoscaling.keda.queueDepth", 0, "'/reward/autoscaling/keda/queueDepth': "),
        ("reward.autoscaling.keda.serverAddress", "prometheus:9090", "does not match pattern"),
        ("reward.autoscaling.hpa.cpuUtilization", 101, "maximum: got 101, want 100"),
        ("reward.gpu.count", -1, "'/reward/gpu/count': minimum: got -1, want 0"),
        ("reward.gpu.products", "NVIDIA-RTX-A6000", "got string, want array"),
        ("reward.image.digest", "sha256:abc", "'sha256:abc' does not match pattern"),
        ("reward.resources.limits", {"memory": "24 GB"}, "'24 GB' does not match pattern"),
        ("reward.tolerations", [{"efect": "NoSchedule"}], "'efect' not allowed"),
        ("image.pullPolicy", "Sometimes", "value must be one of 'Always', 'IfNotPresent', 'Never'"),
        ("s3.endpoint", "minio:9000", "'minio:9000' does not match pattern"),
        ("s3.existingSecret", "My_Secret", "'My_Secret' does not match pattern"),
        ("prefetch.from", "gs://bucket", "'gs://bucket' does not match pattern"),
        ("models.accessModes", [], "'/models/accessModes': minItems"),
        ("metrics.serviceMonitor.interval", "15", "'15' does not match pattern"),
        ("commonLabels", {"a b": "c"}, "'/commonLabels'"),
        ("priorityClass.value", 2_000_000_000, "maximum"),
        ("submitters", [{"kind": "Robot", "name": "x"}], "'/submitters/0/kind'"),
    ],
)
def test_the_schema_refuses(path: str, value: object, told: str) -> None:
    with pytest.raises(helm.HelmValuesError) as refusal:
        render(nested(path, value))
    assert told in str(refusal.value)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (
            merged(
                nested("reward.autoscaling.minReplicas", 5),
                nested("reward.autoscaling.maxReplicas", 3),
            ),
            "minReplicas = 5 is more than maxReplicas = 3; raise maxReplicas",
        ),
        (
            merged(
                nested("reward.autoscaling.keda.enabled", True),
                nested("reward.autoscaling.hpa.enabled", True),
            ),
            "set one of them to false",
        ),
        (
            merged(
                nested("reward.autoscaling.keda.enabled", True),
                nested("reward.autoscaling.keda.fallback.replicas", 9),
            ),
            "fallback.replicas = 9 is more than maxReplicas = 4",
        ),
        (
            nested("reward.podDisruptionBudget", {"minAvailable": 1, "maxUnavailable": 0}),
            "maxUnavailable = 0 and minAvailable = 1 are both set",
        ),
        (
            nested("reward.rollingUpdate", {"maxSurge": 0, "maxUnavailable": "0%"}),
            "no upgrade could begin",
        ),
        (
            nested("reward.gpu", {"count": 0, "products": ["NVIDIA-RTX-A6000"]}),
            "names NVIDIA-RTX-A6000, and reward.gpu.count is 0",
        ),
        (
            merged(
                nested("reward.gpu.products", ["NVIDIA-L4"]),
                nested("reward.affinity.nodeAffinity", {"x": 1}),
            ),
            "both choose nodes",
        ),
        (
            nested("certificates", {"configMap": "one", "secret": "other"}),
            'certificates.configMap is "one" and certificates.secret is "other"',
        ),
        (
            merged(nested("prefetch.enabled", True), nested("models.enabled", False)),
            "the Job would fill a folder that no other pod sees",
        ),
        (nested("reward.autoscaling.minReplicas", 0), "only KEDA scales to zero"),
        (nested("run.storage", ""), "run.storage is empty"),
        (nested("run.storage", "storage"), 'run.storage is "storage"'),
        (
            nested("reward.progressDeadlineSeconds", 1800),
            "probes.startup and minReadySeconds allow 1800 s",
        ),
        (nested("run.storage", "s3:///speech"), "names no bucket"),
        (nested("run.train.gpus_per_node", 3), "64 rollouts an update"),
        (
            merged(
                nested("run.train.gpus_per_node", 4),
                nested("run.train.asynchronous.staleness", 1),
            ),
            "64 rollouts an update (run.train.prompts_per_step / updates_per_step x "
            "run.rollout.group_size) are not divisible by 3 GPUs",
        ),
        (
            merged(
                nested("run.train.gpus_per_node", 1),
                nested("run.train.asynchronous", {}),
            ),
            "leaves no GPU to train on",
        ),
        (nested("run.train.updates_per_step", 3), "prompts_per_step = 8 is not divisible"),
        (
            nested("run.train.max_tokens_per_micro_batch", 2559),
            "max_tokens_per_micro_batch = 2559 cannot hold one rollout of run.rollout.max_prompt_"
            "tokens + max_speech_tokens = 2560 tokens",
        ),
        (
            merged(
                nested("run.eval.judges", [{"name": "w", "type": "whisper", "model": "openai/w"}]),
                nested("run.reward.whisper.model", "openai/w"),
            ),
            'judge "w" of run.eval.judges is openai/w, which gives the reward',
        ),
        (
            nested(
                "run.eval.judges",
                [{"name": "w", "type": "whisper", "model": "x", "used_in_reward": True}],
            ),
            "add an independent judge",
        ),
    ],
)
def test_the_templates_refuse_what_a_schema_cannot_say(values: dict[str, Any], told: str) -> None:
    with pytest.raises(helm.HelmRenderError) as refusal:
        render(values)
    assert told in str(refusal.value)


@pytest.mark.parametrize(
    ("release", "told"),
    [
        ("a" * 36, "which has 42 characters"),
        ("ttsrl" + "a" * 37, "use a shorter release name or fullnameOverride"),
        ("with.dot", "has no dot"),
        ("2024", "begins with a letter"),
    ],
)
def test_a_release_that_kuberay_could_not_run_is_refused(release: str, told: str) -> None:
    with pytest.raises(helm.HelmRenderError) as refusal:
        render(release=release)
    assert told in str(refusal.value)


def test_the_longest_release_name_is_the_same_for_helm_and_python() -> None:
    assert len(release_of(name="a" * 35).names.train) == 47
    with pytest.raises(BadInput, match="KubeRay takes 47"):
        Names("r", "a" * 42, "r")


@pytest.mark.parametrize(
    "train",
    [
        {"gpus_per_node": 8, "nodes": 2, "prompts_per_step": 6},
        {"gpus_per_node": 8, "nodes": 2, "prompts_per_step": 4},
        {"gpus_per_node": 8, "nodes": 8, "prompts_per_step": 8},
        {"max_tokens_per_micro_batch": 2559},
        {"max_tokens_per_micro_batch": 2560},
        {"max_tokens_per_micro_batch": None},
        {"prompts_per_step": 9, "updates_per_step": 2},
        {"prompts_per_step": 9, "updates_per_step": 3},
        {"prompts_per_step": 6},
    ],
)
def test_helm_refuses_the_batches_that_run_config_refuses(train: dict[str, int]) -> None:
    with helm.Chart.load(CHART) as chart:
        run = chart.values["run"] | {"storage": STORAGE}
    run["train"] |= train
    try:
        RunConfig.model_validate(run | {"name": "x"})
    except ValueError:
        with pytest.raises(helm.HelmRenderError):
            render({"run": run})
    else:
        render({"run": run})


@pytest.mark.parametrize(
    ("judges", "refused"),
    [
        ([("a", False), ("b", False)], False),
        ([("a", False), ("whisper", True)], False),
        ([("a", False), ("whisper", False)], True),
        ([("whisper", False)], True),
        ([("whisper", True)], True),
        ([("a", True), ("b", False)], False),
    ],
)
def test_helm_refuses_the_judges_that_run_config_refuses(
    judges: list[tuple[str, bool]], refused: bool
) -> None:
    with helm.Chart.load(CHART) as chart:
        run = chart.values["run"] | {"storage": STORAGE}
    run["reward"]["whisper"]["model"] = "whisper"
    run["eval"]["judges"] = [
        {"name": f"judge {n}", "type": "whisper", "model": model, "used_in_reward": used}
        for n, (model, used) in enumerate(judges)
    ]
    if not refused:
        RunConfig.model_validate(run | {"name": "x"})
        assert render({"run": run})
        return
    with pytest.raises(ValueError, match="reward"):
        RunConfig.model_validate(run | {"name": "x"})
    with pytest.raises(helm.HelmRenderError, match="reward"):
        render({"run": run})


def test_values_schema_json_is_fresh() -> None:
    committed = json.loads((CHART / "values.schema.json").read_text())
    assert committed == values_schema(), (
        "run: .venv/bin/ttsrl config --values-schema > helm/values.schema.json"
    )


POD = {*PodValues.model_fields, "resourceClaims", "shm"}
SHARED = {
    **{key: POD for key in ("job", "head", "reduce")},
    **{key: {*POD, "gpu"} for key in ("train", "merge", "eval", "follow", "prefetch")},
    "scratch": {*Scratch.model_fields},
    "gpu": {*JobGpu.model_fields},
}
"""Sections -> what need not stand in each of them."""


def test_every_value_has_its_type_and_its_default() -> None:
    """What the schema knows and what values.yaml gives are the same keys."""

    def compare(schema: dict[str, Any], values: dict[str, Any], at: str) -> None:
        known, given = set(schema["properties"]), set(values)
        if at in SHARED:  # what `job` explains may be given there, and where it is special
            assert given <= known and known - given <= SHARED[at], f"{at}: {known ^ given}"
        else:
            assert known == given, f"{at}: {known ^ given}"
        for key, inner in schema["properties"].items():
            if "$ref" in inner and key in values:
                compare(whole["$defs"][inner["$ref"].removeprefix("#/$defs/")], values[key], key)

    whole = Values.model_json_schema()
    values = read_values(CHART / "values.yaml")
    for probe in values["reward"]["probes"].values():  # the rest has Kubernetes' own defaults
        for timing in ("initialDelaySeconds", "timeoutSeconds"):
            probe.setdefault(timing, 1)
    run = values.pop("run")
    whole["properties"].pop("run")
    compare(whole, values, "values")
    RunConfig.model_validate(run | {"name": "x"})


def test_every_value_is_explained() -> None:
    """By a comment above it or above the value before it, or by its section's only comment."""
    text = (CHART / "values.yaml").read_text()
    lines = text.splitlines()

    def leaves(node: yaml.Node) -> Iterator[tuple[str, yaml.Node]]:
        for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
            yield key.value, value
            yield from leaves(value)

    def bare(node: yaml.Node, path: str) -> list[str]:
        found: list[str] = []
        before = None
        assert isinstance(node, yaml.MappingNode)
        for key, value in node.value:
            line = key.start_mark.line
            explained = lines[line - 1].strip().startswith("#") or line - 1 == before
            before = line if explained else None
            last = max((v.start_mark.line for _, v in leaves(value)), default=line)
            inside = lines[line + 1 : last]
            if isinstance(value, yaml.MappingNode) and value.value:
                if not explained or any(text.strip().startswith("#") for text in inside):
                    found += bare(value, f"{path}{key.value}.")
            elif not explained and key.value not in ("enabled", "annotations"):
                found.append(path + key.value)
        return found

    whole = yaml.compose(text)
    assert whole is not None
    assert bare(whole, "") == []


def test_every_values_file_is_accepted() -> None:
    for path in [*(CHART / "ci").glob("*.yaml"), *(CHART / "values").glob("*.yaml")]:
        assert render(read_values(path)), path
