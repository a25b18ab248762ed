"""What owners of clusters do to nodes: a drain leaves a replica that answers."""

from __future__ import annotations

from typing import Any

from harness import Bucket, Namespace
from load import load
from testbed.node import NODE


def test_a_drain_never_takes_the_last_replica_that_answers(
    namespace: Namespace, bucket: Bucket
) -> None:
    namespace.cluster.require_full()
    namespace.cluster.require_testbed("only node, which is drained")
    two = "reward.replicas=2,reward.podDisruptionBudget.minAvailable=1,reward.preStopSeconds=5"
    namespace.install(*bucket.values, "--set", two)
    pod = namespace.list("pods", "app.kubernetes.io/component=reward")[0]
    # kubectl drains a node of all namespaces' pods
    selector = f"pod-template-hash={pod['metadata']['labels']['pod-template-hash']}"
    with load(namespace, at_once=4) as work:
        drain = ("drain", NODE, f"--pod-selector={selector}", "--delete-emptydir-data")
        said = namespace.kubectl(*drain, "--timeout=30s", check=False)
        try:
            assert "Cannot evict pod as it would violate the pod's disruption budget" in said
            assert any(is_ready(pod) for pod in namespace.list("pods", selector))
        finally:
            namespace.kubectl("uncordon", NODE)
        work.stop()
    assert work.scored > 0
    assert work.failed == {}
    assert set(work.asked_once) == {"200"}


def is_ready(pod: dict[str, Any]) -> bool:
    """Whether a pod takes requests, and is not on its way out."""
    conditions = {c["type"]: c["status"] for c in pod["status"].get("conditions", [])}
    return conditions.get("Ready") == "True" and "deletionTimestamp" not in pod["metadata"]
