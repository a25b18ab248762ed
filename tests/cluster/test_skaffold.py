"""skaffold itself: build, render, deploy and verify of the profile for CPUs."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness import Bucket, ClusterUnderTest, Namespace
from testbed import images, tools
from testbed.paths import REPOSITORY


@pytest.fixture(scope="module")
def builder(cluster: ClusterUnderTest) -> Iterator[str]:
    """Address of a builder that speaks Docker's API, beside the images that are built already."""
    cluster.require_full()
    cluster.require_testbed("containerd, into which the images go")
    with images.docker_api() as address:
        yield address


class Skaffold:
    """The command in one namespace, with a copy of skaffold.yaml that needs no BuildKit."""

    def __init__(self, namespace: Namespace, bucket: Bucket, builder: str, folder: Path) -> None:
        # Programs that skaffold looks for by name.
        for name in ("kubectl", "helm"):
            (folder / name).symlink_to(tools.binary(name))
        config = yaml.safe_load((REPOSITORY / "skaffold.yaml").read_text())
        config["build"]["local"]["useBuildkit"] = False
        self.config = folder / "skaffold.yaml"
        self.config.write_text(yaml.safe_dump(config))
        self.namespace = namespace.name
        self.environment = {
            **os.environ,
            "PATH": f"{folder}:{os.environ['PATH']}",
            "KUBECONFIG": str(namespace.cluster.kubeconfig),
            "DOCKER_HOST": builder,
            "TTSRL_BASE": images.BASE,
            "TTSRL_STORAGE": bucket.url,
            "TTSRL_S3_ENDPOINT": bucket.endpoint,
        }

    def __call__(self, *arguments: str) -> str:
        options = ["-f", self.config, "-n", self.namespace, "--profile", "cpu"]
        done = subprocess.run(
            [tools.binary("skaffold"), *arguments, *options],
            capture_output=True,
            text=True,
            cwd=REPOSITORY,
            env=self.environment,
        )
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        return done.stdout


@pytest.mark.timeout(1800)
def test_what_skaffold_builds_is_rendered_deployed_and_verified(
    namespace: Namespace, bucket: Bucket, builder: str, tmp_path: Path
) -> None:
    skaffold = Skaffold(namespace, bucket, builder, tmp_path)
    artifacts = tmp_path / "build.json"
    skaffold("build", "--push=false", f"--file-output={artifacts}")
    built = {one["imageName"]: one["tag"] for one in json.loads(artifacts.read_text())["builds"]}
    assert built.keys() == {"ttsrl-reward", "ttsrl-train", "ttsrl-jobs"}
    of_these = f"--build-artifacts={artifacts}"

    rendered = list(yaml.safe_load_all(skaffold("render", of_these, "--digest-source=tag")))
    [deployment] = [o for o in rendered if o and o["kind"] == "Deployment"]
    assert image_of(deployment) == built["ttsrl-reward"]

    images.load([f"docker.io/library/{built['ttsrl-reward']}"])
    namespace.releases.append("ttsrl")
    skaffold("deploy", of_these)
    assert image_of(namespace.existing("deployment", "ttsrl-reward")) == built["ttsrl-reward"]
    said = skaffold("verify", of_these)
    for check in ("answers:", "can be written, read and cleared", "metrics of the reward service"):
        assert check in said


def image_of(deployment: dict[str, Any]) -> str:
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    return container["image"]
