"""What the chart lets pods do, reach and know: as little as they need."""

from __future__ import annotations

import base64
import copy
import json
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import helm_python as helm
import pytest
import yaml

from support.helm_chart import (
    CHART,
    CI_VALUES,
    EVERY_API,
    Manifest,
    find,
    pod_specs,
    read_values,
    render,
    with_storage,
)
from support.pod_security import excesses, violations

EVERYTHING = CHART / "ci/everything-on-values.yaml"
RELEASE_LABELS = {"app.kubernetes.io/name": "ttsrl", "app.kubernetes.io/instance": "ttsrl"}


@pytest.mark.parametrize("values", [None, *CI_VALUES], ids=lambda v: v.stem if v else "defaults")
def test_every_pod_is_admitted_to_a_restricted_namespace(values: Path | None) -> None:
    manifests = render(read_values(values) if values else None, apis=EVERY_API)
    pods = dict(pod_specs(manifests))
    filled = sum(name.startswith("Job/") for name in pods)  # where the cache of models is filled
    assert len(pods) - filled == 4  # the reward service, and three tests
    for name, spec in pods.items():
        assert ([*violations(spec)], [*excesses(spec)]) == ([], []), name


def privileged(spec: Manifest) -> None:
    spec["containers"][0]["securityContext"]["privileged"] = True


def as_root(spec: Manifest) -> None:
    spec["containers"][0]["securityContext"]["runAsUser"] = 0


def with_capabilities(spec: Manifest) -> None:
    spec["containers"][0]["securityContext"]["capabilities"] = {"drop": ["NET_RAW"]}


def with_a_host_path(spec: Manifest) -> None:
    spec["volumes"].append({"name": "host", "hostPath": {"path": "/"}})


def unconfined(spec: Manifest) -> None:
    spec["securityContext"]["seccompProfile"] = {"type": "Unconfined"}


def escalating(spec: Manifest) -> None:
    del spec["containers"][0]["securityContext"]["allowPrivilegeEscalation"]


@pytest.mark.parametrize(
    "change",
    [privileged, as_root, with_capabilities, with_a_host_path, unconfined, escalating],
    ids=lambda f: f.__name__,
)
def test_a_pod_that_may_more_is_not_admitted(change: Callable[[Manifest], None]) -> None:
    spec = copy.deepcopy(dict(pod_specs(render()))["Deployment/ttsrl-reward"])
    change(spec)
    assert len([*violations(spec)]) == 1


def test_no_account_may_use_kubernetes() -> None:
    manifests = render(read_values(EVERYTHING), apis=EVERY_API)
    accounts = [m for m in manifests if m["kind"] == "ServiceAccount"]
    assert len(accounts) == 3
    assert all(account["automountServiceAccountToken"] is False for account in accounts)
    bound = [s for m in manifests if m["kind"] == "RoleBinding" for s in m["subjects"]]
    names = {account["metadata"]["name"] for account in accounts}
    assert bound and not names & {subject["name"] for subject in bound}


def test_submitters_may_do_what_they_need_in_their_namespace_and_read_no_secret() -> None:
    manifests = render(read_values(EVERYTHING), apis=EVERY_API)
    assert not {m["kind"] for m in manifests} & {"ClusterRole", "ClusterRoleBinding"}
    (role,) = [m for m in manifests if m["kind"] == "Role"]
    everything = {value for rule in role["rules"] for values in rule.values() for value in values}
    assert not everything & {"*", "secrets", "pods/exec", "bind", "escalate", "impersonate"}
    assert not [m for m in render(apis=EVERY_API) if m["kind"] in ("Role", "RoleBinding")]


def test_secrets_are_mounted_as_files_and_only_where_they_are_needed() -> None:
    mounted = {
        name: {v["secret"]["secretName"] for v in spec["volumes"] if "secret" in v}
        for name, spec in pod_specs(render())
    }
    assert mounted["Deployment/ttsrl-reward"] == {"ttsrl-token", "ttsrl-huggingface"}
    for _, spec in pod_specs(render()):
        for container in spec["containers"]:
            assert "secretKeyRef" not in json.dumps(container)
            assert not any("subPath" in mount for mount in container["volumeMounts"])


def test_the_token_is_random_and_long_unless_one_is_there() -> None:
    def token(**values: Any) -> list[bytes]:
        secrets = [m for m in render(values) if m["kind"] == "Secret"]
        return [base64.b64decode(secret["data"]["token"]) for secret in secrets]

    (first,), (second,) = token(), token()
    assert first != second and len(first) == 40
    assert token(token={"existingSecret": "mine"}) == []
    spec = dict(pod_specs(render({"token": {"existingSecret": "mine"}})))["Deployment/ttsrl-reward"]
    assert {"name": "token", "secret": {"secretName": "mine"}} in spec["volumes"]


@contextmanager
def cluster_with(secret: Manifest) -> Generator[str]:
    """A server that knows one Secret, as far as Helm's lookup asks; gives a kubeconfig."""
    meta = secret["metadata"]
    resource = {"name": "secrets", "kind": "Secret", "namespaced": True, "verbs": ["get"]}
    answers: dict[str, Manifest] = {
        "/api/v1": {
            "kind": "APIResourceList",
            "groupVersion": "v1",
            "resources": [resource],
        },
        f"/api/v1/namespaces/{meta['namespace']}/secrets/{meta['name']}": secret,
    }

    class ApiHandler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = answers.get(self.path.partition("?")[0])
            missing = {"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404}
            body = json.dumps(answer or missing).encode()
            self.send_response(200 if answer else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), ApiHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        yield yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "c", "cluster": {"server": url}}],
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
                "users": [{"name": "u", "user": {"token": "x"}}],
                "current-context": "c",
            }
        )
        server.shutdown()


def test_an_upgrade_keeps_the_token() -> None:
    installed = find(render(), "Secret", "ttsrl-token")
    with (
        cluster_with(installed) as kubeconfig,
        helm.Config(kubeconfig_content=kubeconfig, namespace="speech") as config,
        helm.Chart.load(CHART) as chart,
    ):
        upgraded = config.render(
            chart,
            with_storage(None),
            name="ttsrl",
            namespace="speech",
            revision=2,
            is_upgrade=True,
        )
        other = config.render(chart, with_storage(None), name="other", namespace="speech")
    secret = yaml.safe_load(upgraded["ttsrl/templates/token.yaml"])
    assert secret["data"] == installed["data"]
    assert yaml.safe_load(other["ttsrl/templates/token.yaml"])["data"] != installed["data"]


def admits(policy: Manifest, labels: dict[str, str], *, same_namespace: bool) -> bool:
    """Whether an ingress rule of the policy lets a pod in, by its labels."""

    def matches(selector: Manifest) -> bool:
        expressions = selector.get("matchExpressions", [])
        assert all(e["operator"] == "In" for e in expressions)
        return selector.get("matchLabels", {}).items() <= labels.items() and all(
            labels.get(e["key"]) in e["values"] for e in expressions
        )

    return any(
        matches(peer.get("podSelector", {})) and (same_namespace or "namespaceSelector" in peer)
        for rule in policy["spec"]["ingress"]
        for peer in rule["from"]
    )


@pytest.mark.parametrize(
    ("labels", "same_namespace", "reward", "train"),
    [
        (RELEASE_LABELS | {"app.kubernetes.io/component": "train"}, True, True, True),
        (RELEASE_LABELS | {"app.kubernetes.io/component": "eval"}, True, True, False),
        (RELEASE_LABELS | {"app.kubernetes.io/component": "test"}, True, True, False),
        (RELEASE_LABELS | {"app.kubernetes.io/component": "train"}, False, False, False),
        (RELEASE_LABELS | {"app.kubernetes.io/instance": "other"}, True, False, False),
        ({"app.kubernetes.io/name": "prometheus"}, False, True, True),
        ({"app.kubernetes.io/name": "kuberay"}, False, False, True),
        ({"app.kubernetes.io/name": "kuberay-operator"}, False, False, True),
        ({"app.kubernetes.io/name": "notebook"}, True, False, False),
        ({}, True, False, False),
    ],
)
def test_network_policies_let_in(
    labels: dict[str, str], same_namespace: bool, reward: bool, train: bool
) -> None:
    manifests = render()
    for name, expected in (("ttsrl-reward", reward), ("ttsrl-train", train)):
        policy = find(manifests, "NetworkPolicy", name)
        assert policy["spec"]["policyTypes"] == ["Ingress"]
        assert admits(policy, labels, same_namespace=same_namespace) is expected


def test_training_may_connect_anywhere_unless_the_values_say_where() -> None:
    assert all(
        m["spec"]["policyTypes"] == ["Ingress"] for m in render() if m["kind"] == "NetworkPolicy"
    )
    rule = {"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}], "ports": [{"port": 443}]}
    manifests = render({"networkPolicy": {"trainTo": [rule]}})
    policy = find(manifests, "NetworkPolicy", "ttsrl-train-egress")
    assert policy["spec"]["policyTypes"] == ["Egress"]
    inside, outside = policy["spec"]["egress"]
    labels = {"app.kubernetes.io/name": "ttsrl", "app.kubernetes.io/instance": "ttsrl"}
    assert inside == {"to": [{"podSelector": {"matchLabels": labels}}]}
    assert outside == rule
    component = policy["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/component"]
    assert component == "train"


@pytest.mark.parametrize(
    ("trackers", "ports"),
    [
        (["tensorboard", {"type": "wandb", "online": True}], [443]),
        ([{"type": "mlflow", "address": "http://mlflow.tracking.svc:5000"}], [443, 5000]),
        ([{"type": "wandb", "address": "https://wandb.example.org"}], [443]),
        (
            [
                {"type": "mlflow", "address": "http://mlflow.example.org/path"},
                {"type": "trackio", "address": "https://trackio.example.org:7860"},
            ],
            [443, 80, 7860],
        ),
    ],
)
def test_where_egress_is_limited_the_trackers_of_the_run_are_reached(
    trackers: list[Any], ports: list[int]
) -> None:
    egress = {"networkPolicy": {"egress": {"enabled": True}}}
    policy = find(
        render({**egress, "run": {"trackers": trackers}}), "NetworkPolicy", "ttsrl-egress"
    )
    [rule] = [rule for rule in policy["spec"]["egress"] if "ipBlock" in json.dumps(rule["to"])]
    assert rule["ports"] == [{"port": port, "protocol": "TCP"} for port in ports]
    blocks = [peer["ipBlock"] for peer in rule["to"]]
    assert [block["cidr"] for block in blocks] == ["0.0.0.0/0", "::/0"]
    assert all(block["except"] for block in blocks)  # the node's credentials stay out of reach


def test_prometheus_may_scrape_the_trainer_but_never_reach_ray() -> None:
    policy = find(render(), "NetworkPolicy", "ttsrl-train")
    rules = [rule for rule in policy["spec"]["ingress"] if "prometheus" in json.dumps(rule["from"])]
    assert [rule["ports"] for rule in rules] == [[{"port": "metrics"}]]
