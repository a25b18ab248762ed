"""prometheus-operator's own Prometheus finds what the chart declares, and the panels show it."""

from __future__ import annotations

import json
import re
import time
import urllib.parse
from typing import Any

import httpx
import pytest

from harness import Bucket, Manifest, Namespace
from load import load
from monitoring import reward
from monitoring.check import answers
from testbed.tools import tool_image

# Of the namespace alone; without a version the operator takes the image for an old one.
PROMETHEUS: Manifest = {
    "apiVersion": "monitoring.coreos.com/v1",
    "kind": "Prometheus",
    "metadata": {"name": "own"},
    "spec": {
        "version": "v3.5.0",
        "replicas": 1,
        "serviceAccountName": "prometheus",
        "scrapeInterval": "2s",
        "evaluationInterval": "2s",
        "serviceMonitorSelector": {"matchLabels": {"release": "own"}},
        "podMonitorSelector": {"matchLabels": {"release": "own"}},
        "ruleSelector": {"matchLabels": {"release": "own"}},
        "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}},
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "fsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    },
}
LABELS = [
    "--set",
    ",".join(
        f"metrics.{kind}.additionalLabels.release=own"
        for kind in ("serviceMonitor", "podMonitor", "prometheusRule")
    ),
]


def prometheus_of(namespace: Namespace) -> None:
    rules = [
        {
            "apiGroups": [""],
            "resources": ["services", "endpoints", "pods"],
            "verbs": ["get", "list", "watch"],
        },
        {
            "apiGroups": ["discovery.k8s.io"],
            "resources": ["endpointslices"],
            "verbs": ["get", "list", "watch"],
        },
    ]
    name = {"metadata": {"name": "prometheus"}}
    rbac = "rbac.authorization.k8s.io"
    role = {"apiGroup": rbac, "kind": "Role", "name": "prometheus"}
    subject = {"kind": "ServiceAccount", "name": "prometheus", "namespace": namespace.name}
    spec = {**PROMETHEUS["spec"], "image": tool_image("prometheus")}
    namespace.apply(
        [
            {**name, "apiVersion": "v1", "kind": "ServiceAccount"},
            {**name, "apiVersion": f"{rbac}/v1", "kind": "Role", "rules": rules},
            {
                **name,
                "apiVersion": f"{rbac}/v1",
                "kind": "RoleBinding",
                "roleRef": role,
                "subjects": [subject],
            },
            {**PROMETHEUS, "spec": spec},
        ]
    )


def ask(namespace: Namespace, path: str) -> Any:
    """An answer of Prometheus' API, through the API server."""
    service = f"/api/v1/namespaces/{namespace.name}/services/prometheus-operated:9090/proxy"
    said = namespace.kubectl("get", "--raw", f"{service}/api/v1/{path}", check=False)
    return json.loads(said)["data"] if said.startswith('{"status":"success"') else None


def value(namespace: Namespace, query: str) -> list[Any]:
    found = ask(namespace, f"query?query={urllib.parse.quote(query)}")
    return found["result"] if found else []


@pytest.mark.timeout(600)
def test_a_prometheus_of_the_operator_scrapes_the_service_and_evaluates_its_rules(
    namespace: Namespace, bucket: Bucket
) -> None:
    namespace.cluster.require_testbed("image of Prometheus")
    namespace.cluster.require_api("prometheuses.monitoring.coreos.com")
    namespace.install(*bucket.values, *LABELS)
    prometheus_of(namespace)
    own = f'{{namespace="{namespace.name}",release="ttsrl"}}'
    with load(namespace, at_once=8) as work:
        namespace.until("a scrape", lambda: value(namespace, f"ttsrl_reward_ready{own} == 1"), 180)
        namespace.until(
            "scores", lambda: value(namespace, f"ttsrl_reward_outcomes_total{own} > 0"), 60
        )
        rules = namespace.until("rules", lambda: ask(namespace, "rules"), 180)["groups"]
        assert {group["name"] for group in rules} >= {"ttsrl-reward", "ttsrl-train"}
        evaluated = [rule for group in rules for rule in group["rules"]]
        namespace.until(
            "their evaluation",
            lambda: all(
                rule["health"] == "ok"
                for group in ask(namespace, "rules")["groups"]
                for rule in group["rules"]
            ),
            90,
        )
        assert {"TtsrlRewardDown", "TtsrlTrainGone"} <= {rule["name"] for rule in evaluated}
        panels_show_something(namespace)
        work.stop()
    assert work.failed == {}

    namespace.kubectl("scale", "deployment/ttsrl-reward", "--replicas=0")
    query = 'ALERTS{alertname="TtsrlRewardDown"}'
    namespace.until("the alert", lambda: value(namespace, query), 120)


def panels_show_something(namespace: Namespace) -> None:
    """The dashboard of the service, but for what exporters of Kubernetes, KEDA and NVIDIA give."""
    chosen = {"namespace": namespace.name, "release": "ttsrl"}
    with (
        namespace.forwarded("service/prometheus-operated", 9090) as url,
        httpx.Client(base_url=url, timeout=60) as prometheus,
    ):

        def empty() -> list[str]:
            found = answers(prometheus, (reward.BOARD,), chosen, "15m", "30s")
            assert not [answer.problem for answer in found if answer.problem]
            ours = [a for a in found if not re.search("kube_|keda_|DCGM_|container_", a.query)]
            return [f"{a.panel}: {a.query}" for a in ours if not a.series]

        deadline = time.monotonic() + 90
        while (left := empty()) and time.monotonic() < deadline:
            time.sleep(2)
        assert left == []
