"""Where the reward service runs: GPUs of any vendor, claims of devices, nodes of the images."""

from __future__ import annotations

from typing import Any

import kubernetes_validate
import pytest

from support.helm_chart import KUBE_VERSION, Manifest, find, pod_specs, render

AMD64 = {"kubernetes.io/arch": "amd64"}


def reward_pod(reward: dict[str, Any], **values: Any) -> Manifest:
    deployment = find(render({"reward": reward, **values}), "Deployment", "ttsrl-reward")
    kubernetes_validate.validate(deployment, KUBE_VERSION, strict=True)
    return deployment["spec"]["template"]["spec"]


def test_every_pod_runs_where_the_images_do() -> None:
    made = render({"prefetch": {"enabled": True}, "reward": {"nodeSelector": {"a": "b"}}})
    selectors = {name: spec["nodeSelector"] for name, spec in pod_specs(made)}
    assert len(selectors) == 5  # the service, what fills its cache, three tests
    assert selectors.pop("Deployment/ttsrl-reward") == {**AMD64, "a": "b"}
    assert all(selector == AMD64 for selector in selectors.values())


@pytest.mark.parametrize(
    ("resource", "taint"),
    [
        ("nvidia.com/gpu", "nvidia.com/gpu"),
        ("nvidia.com/mig-3g.40gb", "nvidia.com/gpu"),
        ("amd.com/gpu", "amd.com/gpu"),
        ("gpu.intel.com/i915", "gpu.intel.com/gpu"),
    ],
)
def test_the_taint_is_that_of_the_gpus_vendor(resource: str, taint: str) -> None:
    pod = reward_pod({"gpu": {"resource": resource, "count": 2}})
    [toleration] = pod["tolerations"]
    assert toleration == {"key": taint, "operator": "Exists", "effect": "NoSchedule"}
    assert pod["containers"][0]["resources"]["limits"][resource] == 2
    assert "tolerations" not in reward_pod({"gpu": {"resource": resource, "count": 0}})


def test_claims_of_devices_take_the_place_of_the_gpus_resource() -> None:
    claims = [{"name": "gpus", "resourceClaimTemplateName": "l4"}]
    pod = reward_pod({"resourceClaims": claims})
    resources = pod["containers"][0]["resources"]
    assert pod["resourceClaims"] == claims
    assert resources["claims"] == [{"name": "gpus"}]
    assert resources["limits"].keys() == {"memory"}
    assert "resourceClaims" not in reward_pod({"resourceClaims": claims, "gpu": {"count": 0}})


def test_the_pod_that_waits_for_models_sees_what_the_service_sees() -> None:
    mount = {"name": "more", "mountPath": "/more"}
    volume = {"name": "more", "emptyDir": {}}
    pod = reward_pod(
        {"extraVolumes": [volume], "extraVolumeMounts": [mount]},
        prefetch={"enabled": True},
        certificates={"secret": "authorities"},
    )
    [waiting] = pod["initContainers"]
    [service] = pod["containers"]
    own = ("token", "huggingface")
    assert waiting["volumeMounts"] == [
        one for one in service["volumeMounts"] if one["name"] not in own
    ]
    assert "/etc/ttsrl-certificates" in {one["mountPath"] for one in waiting["volumeMounts"]}
