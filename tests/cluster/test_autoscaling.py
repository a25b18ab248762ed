"""Replicas follow the queue: the real KEDA, its adapter, Prometheus, and a queue that is full."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from harness import Bucket, Namespace
from load import load
from support.mlflow_server import free_port
from testbed import operators
from testbed.processes import stop

# A queue shorter than what the client has under way, so that it is refused (429) all the time; and
# an autoscaler that looks every second and lets replicas go after 15 s without one.
SMALL_QUEUE = {
    "run": {"reward": {"queue_size": 48, "batch_size": 8}},
    "reward": {
        "autoscaling": {
            "maxReplicas": 3,
            "keda": {
                "enabled": True,
                "queueDepth": 8,
                "pollingInterval": 1,
                "fallback": {"failureThreshold": 3, "replicas": 2},
            },
            "behavior": {
                "scaleUp": {"policies": [{"type": "Pods", "value": 2, "periodSeconds": 5}]},
                "scaleDown": {
                    "stabilizationWindowSeconds": 15,
                    "policies": [{"type": "Pods", "value": 2, "periodSeconds": 5}],
                },
            },
        }
    },
}


@pytest.fixture
def prometheus(namespace: Namespace) -> Iterator[tuple[str, int]]:
    """Name and port of one that no other test needs, and this one can stop."""
    namespace.cluster.require_testbed("Prometheus, which can be stopped")
    namespace.cluster.require_api("scaledobjects.keda.sh")
    name, port = f"prometheus-{namespace.name}", free_port()
    operators.prometheus(name, port, namespace.name)
    yield name, port
    stop(name)


@pytest.mark.timeout(1800)
def test_replicas_follow_the_queue_and_no_score_is_lost_on_the_way(
    prometheus: tuple[str, int], namespace: Namespace, bucket: Bucket, tmp_path: Path
) -> None:
    values = tmp_path / "values.yaml"
    values.write_text(yaml.safe_dump(SMALL_QUEUE))
    own, port = prometheus
    server = f"reward.autoscaling.keda.serverAddress={operators.prometheus_url(port)}"
    namespace.install(*bucket.values, "-f", values, "--set", server)
    # a KEDA that began anew, as it does once when it starts, waits for its former self's lease
    ready = ("wait", "scaledobject/ttsrl-reward", "--for=condition=Ready", "--timeout=180s")
    namespace.kubectl(*ready)
    until_replicas(namespace, 1, 600)  # until the first scrape the fallback holds

    with load(namespace, at_once=96) as work:
        until_replicas(namespace, 3, 420)
        refused = f'sum(ttsrl_reward_requests_total{{namespace="{namespace.name}", code="429"}})'
        namespace.until("requests beyond the queue", lambda: ask(port, refused) > 0, 180)
        work.calm()
        until_replicas(namespace, 1, 600)
        work.stop()
    assert work.scored > 96
    assert (work.failed, work.wrong) == ({}, 0)
    assert set(work.asked_once) <= {"200", "429"}  # the ends of replicas break no connection

    stop(own)
    until_replicas(namespace, 2, 120)  # the fallback
    operators.prometheus(own, port, namespace.name)
    until_replicas(namespace, 1, 600)


def ready_replicas(namespace: Namespace) -> int:
    status = namespace.existing("deployment", "ttsrl-reward")["status"]
    same = status.get("replicas", 0) == status.get("readyReplicas", 0)
    return status["readyReplicas"] if same else 0


def until_replicas(namespace: Namespace, count: int, seconds: float) -> None:
    namespace.until(f"{count} ready replicas", lambda: ready_replicas(namespace) == count, seconds)


def ask(port: int, query: str) -> float:
    """The value of an instant query; 0 where no series answers."""
    url = f"{operators.prometheus_url(port)}/api/v1/query"
    answer = httpx.get(url, params={"query": query}, timeout=10).raise_for_status()
    found = answer.json()["data"]["result"]
    return float(found[0]["value"][1]) if found else 0.0
