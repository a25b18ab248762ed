"""NetworkPolicies, enforced by kube-router: what must talk talks, and what must not cannot.

Pods with the labels that a release's pods have, listening where those listen, so that every pair
can be tried soon; the policies are the chart's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from harness import ClusterUnderTest, Manifest, Namespace
from support.helm_chart import pod_specs, render
from testbed import images, policies
from testbed.node import address
from testbed.pki import DNS_IP
from testbed.processes import run

METADATA = "169.254.169.254"
RAY = (6379, 8265, 10001)
RELEASE = {"app.kubernetes.io/name": "ttsrl", "app.kubernetes.io/instance": "ttsrl"}
LISTEN = """\
import socket, sys, time
kept = [socket.create_server(("", int(port))) for port in sys.argv[1:]]
time.sleep(3600)
"""
CONNECT = """\
import json, socket, sys
reached = []
for place in sys.argv[1:]:
    host, port = place.rsplit(":", 1)
    try:
        socket.create_connection((host, int(port)), timeout=2).close()
        reached.append(place)
    except OSError:
        pass
print(json.dumps(reached))
"""


@pytest.fixture
def enforced(cluster: ClusterUnderTest) -> Iterator[None]:
    cluster.require_full()
    cluster.require_testbed("network, which kube-router guards")
    policies.up()
    yield
    policies.stop()


@pytest.fixture
def host() -> Iterator[dict[str, str]]:
    """What pods may find outside of the cluster: an allowed port, another, and nodes' metadata."""
    run("ip", "address", "replace", f"{METADATA}/32", "dev", "lo")
    servers = [
        ThreadingHTTPServer(place, BaseHTTPRequestHandler)
        for place in ((address(), 0), (address(), 0), (METADATA, 0))
    ]
    for server in servers:
        Thread(target=server.serve_forever, daemon=True).start()
    places = [f"{server.server_address[0]}:{server.server_port}" for server in servers]
    yield dict(zip(("allowed", "other", "metadata"), places, strict=True))
    for server in servers:
        server.shutdown()
        server.server_close()
    run("ip", "address", "delete", f"{METADATA}/32", "dev", "lo")


def pod(name: str, labels: dict[str, str], *ports: int) -> Manifest:
    """Listens, and can be told to connect; as a restricted namespace wants it."""
    spec = dict(pod_specs(render()))["Pod/ttsrl-test-score"]
    container = {
        "name": "python",
        "image": images.ttsrl_image("reward"),
        "imagePullPolicy": "Never",
        "command": ["python3", "-c", LISTEN, *map(str, ports)],
        "ports": [{"containerPort": port, "name": named(port)} for port in ports],
        "securityContext": spec["containers"][0]["securityContext"],
        "resources": {"requests": {"cpu": "5m", "memory": "16Mi"}},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "containers": [container],
            "securityContext": spec["securityContext"],
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
        },
    }


def named(port: int) -> str:
    return {3000: "http", 9400: "metrics"}.get(port, f"port-{port}")


def component(name: str) -> dict[str, str]:
    return {**RELEASE, "app.kubernetes.io/component": name}


def policies_of(values: dict[str, Any]) -> list[Manifest]:
    made = [m for m in render(values) if m["kind"] == "NetworkPolicy"]
    for policy in made:
        del policy["metadata"]["namespace"]
    return made


def reached(namespace: Namespace, name: str, places: list[str]) -> set[str]:
    return set(json.loads(namespace.kubectl("exec", name, "--", "python3", "-c", CONNECT, *places)))


def start(namespace: Namespace, *pods: Manifest) -> dict[str, str]:
    """Name -> address, once they listen."""
    namespace.apply(list(pods))
    names = [f"pod/{one['metadata']['name']}" for one in pods]
    namespace.kubectl("wait", "--for=condition=Ready", "--timeout=300s", *names)
    return {
        one["metadata"]["name"]: namespace.existing("pod", one["metadata"]["name"])["status"][
            "podIP"
        ]
        for one in pods
    }


@pytest.mark.disturbs
@pytest.mark.timeout(1800)
def test_what_must_talk_talks_and_nothing_else_can(
    enforced: None, namespace: Namespace, other_namespace: Namespace, host: dict[str, str]
) -> None:
    inside = start(
        namespace,
        pod("reward", component("reward"), 3000, 8080),
        pod("head", component("train"), *RAY, 9400),
        pod("worker", component("train"), 9400, 12345),
        pod("shard", component("eval"), 7000),
        pod("stranger", {"app.kubernetes.io/name": "notebook"}, 7000),
        pod("neighbour", {**RELEASE, "app.kubernetes.io/instance": "other"}, 7000),
    )
    start(
        other_namespace,
        pod("prometheus", {"app.kubernetes.io/name": "prometheus"}),
        pod("kuberay", {"app.kubernetes.io/name": "kuberay"}),
        pod("alike", component("train")),
    )
    rewards = [f"{inside['reward']}:3000"]
    metrics = [f"{inside[name]}:9400" for name in ("head", "worker")]
    ray = [*(f"{inside['head']}:{port}" for port in RAY), f"{inside['worker']}:12345"]
    rest = [f"{inside['reward']}:8080", f"{inside['shard']}:7000"]
    everything = [*rewards, *metrics, *ray, *rest]
    may = [
        (namespace, "worker", {*rewards, *metrics, *ray}),
        (namespace, "head", {*rewards, *metrics, *ray}),
        (namespace, "shard", {*rewards}),
        (namespace, "stranger", set[str]()),
        (namespace, "neighbour", set[str]()),
        (other_namespace, "prometheus", {*rewards, *metrics}),
        (other_namespace, "kuberay", {*metrics, *ray}),
        (other_namespace, "alike", set[str]()),
    ]
    # Before there are policies, all of it is open.
    assert reached(namespace, "stranger", everything) == set(everything)
    namespace.apply(policies_of({}))
    for where, name, expected in may:
        own = {place for place in everything if place.startswith(f"{inside.get(name, '?')}:")}
        where.until(
            f"{name} reaches what it may, and no more",
            lambda where=where, name=name, own=own, wanted=expected | own: (
                reached(where, name, everything) | own == wanted
            ),
            180,
        )

    outside = [*host.values(), f"{DNS_IP}:53"]
    assert reached(namespace, "worker", outside) == set(outside)
    port = int(host["allowed"].rpartition(":")[2])
    dns = [{"ipBlock": {"cidr": f"{DNS_IP}/32"}}]
    closed = {"enabled": True, "ports": [port], "dns": dns}
    namespace.apply(policies_of({"networkPolicy": {"egress": closed}}))
    for name, its_own in (("worker", [*rewards, *ray]), ("shard", rewards), ("reward", [])):
        wanted = {host["allowed"], f"{DNS_IP}:53", *its_own}
        namespace.until(
            f"{name} leaves the release by the port that is allowed alone",
            lambda name=name, wanted=wanted, its_own=its_own: (
                reached(namespace, name, [*outside, *its_own]) == wanted
            ),
            180,
        )
    assert set(outside) == reached(namespace, "stranger", outside)
