"""skaffold.yaml agrees with images, chart and Helm tests; make test-cluster-full runs skaffold."""

from __future__ import annotations

import re
from typing import Any

import kubernetes_validate
import yaml

from support.helm_chart import CHART, read_values, render, render_text
from support.paths import ROOT
from support.pod_security import excesses, violations

CONFIG = yaml.safe_load((ROOT / "skaffold.yaml").read_text())
JOB = yaml.safe_load((ROOT / "jobs/verify/job.yaml").read_text())
RELEASE = CONFIG["deploy"]["helm"]["releases"][0]
DOCKERFILE = (ROOT / "images/Dockerfile").read_text()


def test_every_image_of_the_repository_is_built() -> None:
    built = {one["image"]: one["docker"]["dockerfile"] for one in CONFIG["build"]["artifacts"]}
    used = set(re.findall(r"image: (ttsrl-\w+):", jobs_and_chart()))
    assert built == dict.fromkeys(used, "images/Dockerfile")


def test_the_head_of_the_dockerfile_shows_how_to_build_every_image() -> None:
    head = DOCKERFILE.split("\nARG", 1)[0]
    for artifact in CONFIG["build"]["artifacts"]:
        target = artifact["docker"]["target"]
        assert artifact["image"] == f"ttsrl-{target}"
        command = (
            f"docker build -f images/Dockerfile --target {target} -t {artifact['image']}:VERSION ."
        )
        assert command in head
        assert re.search(rf"^FROM \S+ AS {target}$", DOCKERFILE, re.MULTILINE)


def test_the_profile_for_cpus_gives_every_image_arguments_that_its_dockerfile_knows() -> None:
    known = set(re.findall(r"^ARG (\w+)=", DOCKERFILE, re.MULTILINE))
    patches = profile("cpu")
    for number in range(len(CONFIG["build"]["artifacts"])):
        on_cpus = patches[f"/build/artifacts/{number}/docker/buildArgs"]
        assert {"BASE", "TRAIN_BASE"} < on_cpus.keys() <= known
        assert f"--build-arg TRAIN_EXTRAS={on_cpus['TRAIN_EXTRAS']}" in DOCKERFILE


def test_profiles_have_the_chart_s_own_values_and_set_values_that_exist() -> None:
    for name, file in (("cpu", "tiny"), ("gpu", "a6000")):
        [values] = profile(name)["/deploy/helm/releases/0/valuesFiles"]
        assert values == f"helm/ci/{file}-values.yaml"
        assert read_values(ROOT / values)
    known = read_values(CHART / "values.yaml")
    for path in RELEASE["setValueTemplates"]:
        value: Any = known
        for key in path.split("."):
            value = value[key]
        assert isinstance(value, str)


def test_verify_asks_what_helm_test_asks_from_the_same_pod() -> None:
    tests = [
        one["spec"]
        for one in render(read_values(CHART / "ci/tiny-values.yaml"))
        if "helm.sh/hook" in one["metadata"].get("annotations", {})
    ]
    asked = [spec["containers"][0] for spec in tests]
    commands = [one["command"] + one["args"] for one in asked]
    # skaffold keeps of the manifest what it does not say itself, of the container of that name
    pod = JOB["spec"]["template"]["spec"]
    containers = {one["name"]: one for one in pod["containers"]}
    verified = [one["container"] for one in CONFIG["verify"]]
    assert sorted(v["command"] + v["args"] for v in verified) == sorted(commands)
    assert containers.keys() == {v["name"] for v in verified}
    for container in verified:
        there = containers[container["name"]]
        assert {"command": there["command"], "args": there["args"]} == {
            "command": container["command"],
            "args": container["args"],
        }
        assert all(bare(spec) == bare({**pod, "containers": [there]}) for spec in tests)
    for one in CONFIG["verify"]:
        manifest = one["executionMode"]["kubernetesCluster"]["jobManifestPath"]
        assert manifest == "jobs/verify/job.yaml"


def test_the_job_is_one_that_a_restricted_namespace_takes() -> None:
    kubernetes_validate.validate(JOB, "1.34", strict=True)
    spec = JOB["spec"]["template"]["spec"]
    assert [*violations(spec), *excesses(spec)] == []


def jobs_and_chart() -> str:
    """What a user applies: the chart as it renders, and the manifests of jobs/."""
    files = (path for path in (ROOT / "jobs").rglob("*.yaml") if not path.is_symlink())
    return "\n".join([*render_text().values(), *(path.read_text() for path in files)])


def profile(name: str) -> dict[str, Any]:
    """What a profile adds, by the place where it adds it."""
    [found] = [one for one in CONFIG["profiles"] if one["name"] == name]
    return {patch["path"]: patch["value"] for patch in found["patches"]}


def bare(spec: dict[str, Any]) -> dict[str, Any]:
    """A pod without what tells one check from another."""
    [container] = spec["containers"]
    told = ("name", "command", "args", "image", "imagePullPolicy")
    kept = {key: value for key, value in container.items() if key not in told}
    return {**spec, "containers": [kept]}
