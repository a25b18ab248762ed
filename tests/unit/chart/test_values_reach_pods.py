"""What values say of pods reaches all of them alike: reward, training, merge, evaluation."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest

from support.helm_chart import find, render, render_text
from support.releases import release
from ttsrl.kube.manifests import Template, parse, pods_of

EVERYWHERE: dict[str, Any] = {
    "tolerations": [{"key": "a-spot-node", "operator": "Exists"}],
    "nodeSelector": {"a-node": "label"},
    "extraEnv": [{"name": "A_VARIABLE", "value": "1"}],
    "extraEnvFrom": [{"configMapRef": {"name": "an-environment"}}],
    "extraVolumes": [{"name": "a-volume", "emptyDir": {}}],
    "extraVolumeMounts": [{"name": "a-volume", "mountPath": "/a-path"}],
    "podAnnotations": {"an-annotation": "1"},
    "podLabels": {"a-label": "1"},
    "priorityClassName": "a-priority",
    "runtimeClassName": "a-runtime",
}
"""Values that `reward` and `job` both take, and their pods show."""
SHOWN = (
    "a-spot-node",
    "a-node",
    "A_VARIABLE",
    "an-environment",
    "a-volume",
    "/a-path",
    "an-annotation",
    "a-label",
    "a-priority",
    "a-runtime",
    "a-pull-secret",
    "a-registry.example/team",
    "a-common-label",
    "a-bundle",
    "ca-bundle.pem",
    "/etc/ttsrl-certificates",
)
DIGEST = "sha256:" + "0" * 64
VALUES: dict[str, Any] = {
    "image": {"registry": "a-registry.example/team", "pullSecrets": [{"name": "a-pull-secret"}]},
    "commonLabels": {"a-common-label": "1"},
    "token": {"existingSecret": "a-token"},
    "s3": {"existingSecret": "a-bucket-secret"},
    "huggingface": {"existingSecret": "a-hub-secret"},
    "trackers": {"existingSecret": "a-tracker-secret"},
    "certificates": {"configMap": "a-bundle", "key": "ca-bundle.pem"},
    "models": {"existingClaim": "a-claim"},
    "serviceAccounts": {
        name: {"create": False, "name": f"account-of-{name}"} for name in ("train", "jobs")
    },
    "reward": {**EVERYWHERE, "image": {"digest": DIGEST}, "gpu": {"resource": "amd.com/gpu"}},
    "job": {**EVERYWHERE, "gpu": {"resource": "amd.com/gpu"}},
    "train": {"image": {"digest": DIGEST}},
    "eval": {"image": {"digest": DIGEST}},
    "prefetch": {"enabled": True},
}
NOT_MADE = ("ttsrl-token", "ttsrl-s3", "ttsrl-huggingface", "ttsrl-trackers", "ttsrl-models")
"""Objects of the chart's own in whose place the existing ones stand."""


def pods() -> list[Any]:
    """(what it is, pod template) of everything that a run needs."""
    objects = render(VALUES)
    reward = find(objects, "Deployment", "ttsrl-reward")["spec"]["template"]
    [prefetch] = [one for one in objects if one["kind"] == "Job"]
    made = release(VALUES)
    jobs = {kind: parse(made.job(kind, made.names, "a-run")) for kind in get_args(Template)}
    return [
        pytest.param(reward, id="reward"),
        pytest.param(prefetch["spec"]["template"], id="prefetch"),
        *(
            pytest.param(pod, id=f"{kind}-{number}")
            for kind, job in jobs.items()
            for number, (pod, _) in enumerate(pods_of(job))
        ),
    ]


@pytest.mark.parametrize("pod", pods())
def test_a_value_reaches_the_pod(pod: dict[str, Any]) -> None:
    text = json.dumps(pod)
    assert [value for value in SHOWN if value not in text] == []
    assert [name for name in NOT_MADE if f'"{name}"' in text] == []
    assert "nvidia.com/gpu" not in json.dumps([c["resources"] for c in pod["spec"]["containers"]])
    for container in (*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]):
        assert container["image"].startswith("a-registry.example/team/ttsrl-")
        assert container["image"].endswith(f"@{DIGEST}")


def test_a_release_that_is_rendered_again_is_the_same() -> None:
    values = {"token": {"existingSecret": "a-token"}, "train": {"create": True}}
    assert render_text(values) == render_text(values)


FABRIC: dict[str, Any] = {
    "resources": {"rdma/hca": 2},
    "hugepages": {"hugepages-2Mi": "5Gi"},
    "networks": "rdma-net",
    "lockMemory": True,
    "nccl": {"NCCL_IB_HCA": "mlx5"},
}


@pytest.mark.parametrize(("kind", "on"), [("rayjob", [2]), ("pytorchjob", [0, 1])])
def test_the_fabric_reaches_the_pods_that_train_together_and_no_other(
    kind: Template, on: list[int]
) -> None:
    values = {
        "run": {"train": {"nodes": 2}},
        "train": {"fabric": FABRIC, "extraEnv": [{"name": "A_VARIABLE", "value": "1"}]},
    }
    made = release(values)
    for number, (pod, _) in enumerate(pods_of(parse(made.job(kind, made.names, "a-run")))):
        [container] = pod["spec"]["containers"]
        limits = container["resources"]["limits"]
        wanted = number in on
        assert ({"rdma/hca": 2, "hugepages-2Mi": "5Gi"}.items() <= limits.items()) is wanted
        annotations = pod["metadata"]["annotations"]
        assert (annotations.get("k8s.v1.cni.cncf.io/networks") == "rdma-net") is wanted
        assert (container["securityContext"]["capabilities"].get("add") == ["IPC_LOCK"]) is wanted
        assert ({"name": "NCCL_IB_HCA", "value": "mlx5"} in container["env"]) is wanted
        assert {"name": "A_VARIABLE", "value": "1"} in container["env"]


def test_every_client_is_told_of_the_certificates() -> None:
    def told(values: dict[str, Any]) -> set[str]:
        data = find(render(values), "ConfigMap", "ttsrl-env")["data"]
        return {name for name, value in data.items() if value == "/etc/ttsrl-certificates/ca.crt"}

    clients = {"REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE"}
    assert clients < told({"certificates": {"secret": "a-secret"}})
    assert told({}) == set()
