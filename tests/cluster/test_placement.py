"""Pods go to the GPUs that they ask for: the real scheduler, on fake nodes with A6000 and A100."""

from __future__ import annotations

import json

import pytest

from harness import CHART, ClusterUnderTest, Namespace
from test_submit import one_more_node

A6000 = CHART / "ci/a6000-values.yaml"


@pytest.fixture(autouse=True)
def nodes_with_gpus(cluster: ClusterUnderTest) -> None:
    cluster.require_testbed("fake nodes with A6000 and A100")


def install(namespace: Namespace, *arguments: str) -> None:
    """Without --wait: pods on fake nodes are placed, and never ready."""
    namespace.install_without_waiting("-f", A6000, "--set", "reward.gpu.count=1", *arguments)


def placed(namespace: Namespace, selector: str, count: int) -> set[str]:
    """Names of the nodes of `count` pods, once all are placed."""

    def nodes() -> list[str]:
        pods = namespace.list("pods", selector)
        return [name for pod in pods if (name := pod["spec"].get("nodeName"))]

    return set(namespace.until("pods placed", lambda: len(n := nodes()) == count and n, 180))


def until_pending(namespace: Namespace, selector: str, why: str) -> str:
    """All of the scheduler's words about a pod that it cannot place, once `why` is among them.

    Its first words may be of a node that has just joined, or was silent for a moment.
    """

    def message() -> str | None:
        for pod in namespace.list("pods", selector):
            for condition in pod["status"].get("conditions", []):
                if condition["type"] == "PodScheduled" and why in condition.get("message", ""):
                    return condition["message"]
        return None

    return namespace.until(f'the scheduler\'s "{why}"', message, 180)


def test_the_reward_service_runs_on_a6000_alone_and_spreads_over_its_nodes(
    namespace: Namespace,
) -> None:
    install(namespace, "--set", "reward.replicas=3,reward.autoscaling.keda.enabled=false")
    nodes = placed(namespace, "app.kubernetes.io/component=reward", 3)
    assert nodes == {"a6000-1", "a6000-2", "a6000-3"}


def test_workers_that_the_operator_makes_run_on_a100_and_the_head_on_a_cpu_node(
    namespace: Namespace,
) -> None:
    namespace.cluster.require_api("rayjobs.ray.io")
    install(namespace, "-f", str(CHART / "values/a100-80.yaml"), "--set", "train.create=true")
    workers = placed(namespace, "ray.io/node-type=worker", 1)
    head = placed(namespace, "ray.io/node-type=head", 1)
    assert workers <= {"a100-1", "a100-2"}
    assert not any(node.startswith(("a100", "a6000")) for node in head)


def test_a_pod_that_asks_for_an_absent_gpu_stays_pending_and_says_why(namespace: Namespace) -> None:
    install(namespace, "--set", "reward.gpu.products={NVIDIA-H100-80GB-HBM3}")
    wanted = "node(s) didn't match Pod's node affinity/selector"
    said = until_pending(namespace, "app.kubernetes.io/component=reward", wanted)
    assert "Insufficient" not in said


def test_a_pod_that_asks_for_more_gpus_than_a_node_has_stays_pending_and_says_why(
    namespace: Namespace,
) -> None:
    install(namespace, "--set", "reward.gpu.count=5")
    wanted = "3 Insufficient nvidia.com/gpu"
    assert until_pending(namespace, "app.kubernetes.io/component=reward", wanted)


def test_workers_go_to_spot_nodes_only_where_the_values_tolerate_them(
    namespace: Namespace,
) -> None:
    namespace.cluster.require_full()
    namespace.cluster.require_api("rayjobs.ray.io")
    spot, product = "cloud.google.com/gke-spot", "NVIDIA-L40S"
    wanted = ("--set", f"train.create=true,train.gpu.products={{{product}}}")
    with one_more_node(namespace.cluster, product, taint=spot) as node:
        install(namespace, *wanted)
        until_pending(namespace, "ray.io/node-type=worker", "untolerated taint")
        namespace.helm("uninstall", "ttsrl", "--wait")
        tolerations = json.dumps([{"key": spot, "operator": "Exists"}])
        install(namespace, *wanted, "--set-json", f"train.tolerations={tolerations}")
        assert placed(namespace, "ray.io/node-type=worker", 1) == {node}


def test_workers_do_not_go_to_nodes_of_another_architecture(namespace: Namespace) -> None:
    namespace.cluster.require_full()
    namespace.cluster.require_api("rayjobs.ray.io")
    product = "NVIDIA-GH200-480GB"
    with one_more_node(namespace.cluster, product, arch="arm64"):
        install(namespace, "--set", f"train.create=true,train.gpu.products={{{product}}}")
        wanted = "node(s) didn't match Pod's node affinity/selector"
        said = until_pending(namespace, "ray.io/node-type=worker", wanted)
        assert "Insufficient" not in said
