"""Kueue: of two tenants with quota for one, the second waits whole until there is room."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness import ClusterUnderTest, Namespace
from test_submit import A100, Cli, install

QUEUE = "ttsrl-test-gpus"
PODS = "app.kubernetes.io/component=train"


@pytest.fixture
def gpus() -> int:
    return 8


@pytest.fixture
def queue(cluster: ClusterUnderTest, gpus: int) -> Iterator[str]:
    """A ClusterQueue with so many GPUs for everybody together, and all else that pods ask for."""
    cluster.require_testbed("fake nodes with A6000 and A100")
    cluster.require_api("clusterqueues.kueue.x-k8s.io")
    version = {"apiVersion": "kueue.x-k8s.io/v1beta1"}
    much = {"cpu": "1000", "memory": "10Ti", "ephemeral-storage": "100Ti"}
    much["nvidia.com/gpu"] = str(gpus)
    quotas = [{"name": name, "nominalQuota": quota} for name, quota in much.items()]
    group = {"coveredResources": list(much), "flavors": [{"name": QUEUE, "resources": quotas}]}
    metadata = {"metadata": {"name": QUEUE}}
    spec = {"namespaceSelector": {}, "resourceGroups": [group]}
    objects = [
        {**version, **metadata, "kind": "ResourceFlavor"},
        {**version, **metadata, "kind": "ClusterQueue", "spec": spec},
    ]
    Namespace(cluster, "default").apply(objects)
    yield QUEUE
    cluster.kubectl("delete", f"clusterqueue/{QUEUE}", f"resourceflavor/{QUEUE}", "--wait=false")


@pytest.mark.parametrize(
    ("gpus", "values", "submit"),
    [
        (8, ["-f", A100], ["submit"]),
        (1, [], ["submit", "--kind", "pytorchjob"]),
        (1, [], ["submit", "--kind", "trainjob"]),
    ],
    ids=["rayjob", "pytorchjob", "trainjob"],
)
def test_the_second_tenant_waits_without_a_pod_until_the_first_is_done(
    namespace: Namespace,
    other_namespace: Namespace,
    queue: str,
    values: list[str],
    submit: list[str],
) -> None:
    first, second = Cli(namespace), Cli(other_namespace)
    for tenant in (namespace, other_namespace):
        install(tenant, *values, "--set", f"kueue.clusterQueue={queue}")
    first.done(*submit, "--queue", "ttsrl")
    namespace.until("pods of the first", lambda: namespace.list("pods", PODS), 120)

    second.done(*submit, "--queue", "ttsrl")
    words = "its queue has not admitted it: "  # and why, as Kueue tells
    other_namespace.until("the second's wait", lambda: words in second.done("status"), 180)
    assert other_namespace.list("pods", PODS) == []  # whole or not at all

    first.done("stop", "--delete")
    other_namespace.until("pods of the second", lambda: other_namespace.list("pods", PODS), 120)
    second.done("stop", "--delete")
