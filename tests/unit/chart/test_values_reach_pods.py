"""What values say of pods reaches all of them alike: reward, training, merge, evaluation."""

from __future__ import annotations

import json
from typing import Any, get_args

import kubernetes_validate
import pytest

from support.helm_chart import KUBE_VERSION, Manifest, find, render, render_text
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
    "affinity": {
        "podAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 1, "podAffinityTerm": {"topologyKey": "an-affinity"}}
            ]
        }
    },
    "topologySpreadConstraints": [
        {"topologyKey": "a-rack", "maxSkew": 1, "whenUnsatisfiable": "ScheduleAnyway"}
    ],
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
    "an-affinity",
    "a-rack",
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
    "commonLabels": {"a-common-label": "1", "azure.workload.identity/use": "true"},
    "token": {"existingSecret": "a-token"},
    "s3": {"existingSecret": "a-bucket-secret"},
    "huggingface": {"existingSecret": "a-hub-secret"},
    "trackers": {"existingSecret": "a-tracker-secret"},
    "certificates": {"configMap": "a-bundle", "key": "ca-bundle.pem"},
    "models": {"existingClaim": "a-claim"},
    "serviceAccounts": {
        name: {"create": False, "name": f"account-of-{name}"}
        for name in ("reward", "train", "jobs")
    },
    "reward": {**EVERYWHERE, "image": {"digest": DIGEST}, "gpu": {"resource": "amd.com/gpu"}},
    "job": {**EVERYWHERE, "gpu": {"resource": "amd.com/gpu"}},
    "train": {"image": {"digest": DIGEST}},
    "eval": {"image": {"digest": DIGEST}},
    "prefetch": {"enabled": True},
}
NOT_MADE = ("ttsrl-token", "ttsrl-s3", "ttsrl-huggingface", "ttsrl-trackers", "ttsrl-models")
"""Objects of the chart's own in whose place the existing ones stand."""


def jobs_of(values: dict[str, Any]) -> dict[str, Manifest]:
    """Every job that a run may have, by its template."""
    made = release(values)
    return {kind: parse(made.job(kind, made.names, "a-run")) for kind in get_args(Template)}


def pods_with(values: dict[str, Any]) -> dict[str, Manifest]:
    """Pod template of everything that a run needs, by what it is."""
    objects = render(values)
    found = {"reward": find(objects, "Deployment", "ttsrl-reward")["spec"]["template"]}
    for job in (one for one in objects if one["kind"] == "Job"):
        found["prefetch"] = job["spec"]["template"]
    for kind, job in jobs_of(values).items():
        found |= {f"{kind}-{number}": pod for number, (pod, _) in enumerate(pods_of(job))}
    return found


def containers_of(pod: Manifest) -> list[Manifest]:
    """All of a pod, those that come first or stay beside the others included."""
    return [*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]]


PODS = pods_with(VALUES)
ON_GPUS = {
    *("reward", "rayjob-2", "pytorchjob-0", "trainingruntime-0"),
    *("followjob-0", "shardsjob-0", "jobset-1"),
}


@pytest.mark.parametrize("pod", PODS.values(), ids=PODS)
def test_a_value_reaches_the_pod(pod: dict[str, Any]) -> None:
    text = json.dumps(pod)
    assert [value for value in SHOWN if value not in text] == []
    assert [name for name in NOT_MADE if f'"{name}"' in text] == []
    assert "nvidia.com/gpu" not in json.dumps([c["resources"] for c in pod["spec"]["containers"]])
    labels = pod["metadata"]["labels"]
    assert labels["azure.workload.identity/use"] == "true"
    component = labels["app.kubernetes.io/component"]
    account = component if component in ("reward", "train") else "jobs"
    assert pod["spec"]["serviceAccountName"] == f"account-of-{account}"
    for container in containers_of(pod):
        assert container["image"].startswith("a-registry.example/team/ttsrl-")
        assert container["image"].endswith(f"@{DIGEST}")
        assert {
            "name": "certificates",
            "mountPath": "/etc/ttsrl-certificates",
            "readOnly": True,
        } in (container["volumeMounts"])
        assert "ttsrl-env" in json.dumps(container["envFrom"])
        assert container["resources"]["requests"]["ephemeral-storage"]


def test_the_registry_of_all_charts_is_that_of_every_pod() -> None:
    values = {"global": {"imageRegistry": "mirror.example"}, "prefetch": {"enabled": True}}
    for name, pod in pods_with(values).items():
        images = [container["image"] for container in containers_of(pod)]
        assert all(image.startswith("mirror.example/ttsrl-") for image in images), name


def test_models_in_a_folder_of_the_nodes_are_where_pods_mount_models() -> None:
    mounting: set[str] = set()
    for name, pod in pods_with({"models": {"hostPath": "/srv/models"}}).items():
        volumes = {one["name"]: one for one in pod["spec"]["volumes"]}
        if any(one["name"] == "models" for c in containers_of(pod) for one in c["volumeMounts"]):
            assert volumes["models"]["hostPath"]["path"] == "/srv/models", name
            mounting.add(name)
    assert mounting > ON_GPUS


@pytest.mark.parametrize(
    ("scratch", "volume"),
    [
        ({"type": "claim", "storageClass": "fast"}, "ephemeral"),
        ({"type": "hostPath", "path": "/mnt/nvme"}, "hostPath"),
        ({"type": "emptyDir"}, "emptyDir"),
    ],
)
def test_what_pods_write_lies_where_the_values_say(scratch: dict[str, Any], volume: str) -> None:
    for name, pod in pods_with({"job": {"scratch": scratch}}).items():
        if name in ("reward", "rayjob-0"):  # the service and Ray's submitter keep nothing
            continue
        found = [one for one in pod["spec"]["volumes"] if one["name"] in ("tmp", "merged")]
        assert found, name
        for one in found:
            assert one.keys() == {"name", volume}, name
            if volume == "ephemeral":
                claim = one["ephemeral"]["volumeClaimTemplate"]["spec"]
                assert claim["storageClassName"] == "fast" and claim["resources"]["requests"]
            if volume == "hostPath":
                assert one["hostPath"]["path"] == "/mnt/nvme"
        requested = ["ephemeral-storage" in c["resources"]["requests"] for c in containers_of(pod)]
        assert all(requested) is any(requested) is (volume == "emptyDir"), name


def test_claims_of_devices_are_had_by_the_pods_with_gpus_alone() -> None:
    claims = [{"name": "gpus", "resourceClaimTemplateName": "a100s"}]
    values = {"job": {"resourceClaims": claims}, "reward": {"resourceClaims": claims}}
    for name, pod in pods_with(values).items():
        main = pod["spec"]["containers"][0]["resources"]
        assert ("resourceClaims" in pod["spec"]) is ("claims" in main) is (name in ON_GPUS), name
        assert not [limit for limit in main.get("limits", ()) if limit.endswith("/gpu")], name
        if name in ON_GPUS:
            assert (pod["spec"]["resourceClaims"], main["claims"]) == (claims, [{"name": "gpus"}])


def test_every_job_waits_in_the_queue_of_the_values() -> None:
    label = "kueue.x-k8s.io/queue-name"
    queued = jobs_of({"job": {"queue": "research"}})
    assert {job["metadata"]["labels"].get(label) for job in queued.values()} == {"research"}
    assert not [job for job in jobs_of({}).values() if label in job["metadata"]["labels"]]


def test_the_cluster_may_choose_the_user_of_every_pod() -> None:
    """OpenShift's namespaces have ranges of ids; pods that name others are refused."""
    ids = ("runAsUser", "runAsGroup", "fsGroup")
    values = {"podSecurityContext": dict.fromkeys(ids), "prefetch": {"enabled": True}}
    for name, pod in pods_with(values).items():
        contexts = [pod["spec"]["securityContext"]]
        contexts += [container["securityContext"] for container in containers_of(pod)]
        assert not [one for one in contexts for key in ids if one.get(key) is not None], name
        assert contexts[0]["runAsNonRoot"] is True


def test_pods_that_do_not_all_run_in_time_give_back_what_they_hold() -> None:
    given = jobs_of({"train": {"preRunningDeadlineSeconds": 600}})["rayjob"]["spec"]
    assert given["preRunningDeadlineSeconds"] == 600
    assert "preRunningDeadlineSeconds" not in jobs_of({})["rayjob"]["spec"]


def test_drains_wait_for_every_pod_of_training_where_the_values_say_so() -> None:
    values = {"train": {"podDisruptionBudget": {"enabled": True}}}
    budget = find(render(values), "PodDisruptionBudget", "ttsrl-train")
    kubernetes_validate.validate(budget, KUBE_VERSION, strict=True)
    wanted = budget["spec"]["selector"]["matchLabels"].items()
    for name, pod in pods_with(values).items():
        trains = name.startswith(("rayjob", "pytorchjob", "trainingruntime"))
        assert (wanted <= pod["metadata"]["labels"].items()) is trains, name


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
        assert ({"rdma/hca": "2", "hugepages-2Mi": "5Gi"}.items() <= limits.items()) is wanted
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
