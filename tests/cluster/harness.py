"""What tests of the cluster work with: kubectl and helm as users call them, namespace, bucket."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from botocore.config import Config

from testbed import s3, tools
from testbed.paths import REPOSITORY

Manifest = dict[str, Any]
CHART = REPOSITORY / "helm"
TINY = CHART / "ci/tiny-values.yaml"
USERS = Path(__file__).with_name("users")
POLL_S, SELDOM_S = 0.5, 3.0
NOWHERE = {"ttsrl.dev/pool": "none"}
"""Labels of no node: a pod that only has to be there need not take a core from others."""
REWARD_NOWHERE, HEAD_NOWHERE = (
    ("--set", f"{part}.nodeSelector.ttsrl\\.dev/pool=none") for part in ("reward", "train.head")
)
"""For helm: the same for the reward service, and for Ray's head."""
SMALL = "reward.resources.requests.cpu=50m,train.resources.requests.cpu=100m"
"""For helm: requests with which two tests at once have room on two cores, beside operators."""


def users_environment(**more: str) -> dict[str, str]:
    """For `ttsrl` as a user types it, without this project's development tools."""
    return {**os.environ, "PYTHONPATH": str(USERS), **more}


@cache
def known_kinds(kubeconfig: Path) -> frozenset[str]:
    """Names of a cluster's resources, as `kubectl api-resources -o name` spells them."""
    said = ClusterUnderTest(kubeconfig, False).kubectl("api-resources", "--output", "name")
    return frozenset(said.split())


@dataclass(frozen=True)
class ClusterUnderTest:
    """The testbed, or the cluster that KUBECONFIG names."""

    kubeconfig: Path
    is_testbed: bool

    def kubectl(self, *arguments: str | Path, input: str | None = None, check: bool = True) -> str:
        return self._run(tools.binary("kubectl"), *arguments, input=input, check=check)

    def helm(self, *arguments: str | Path, check: bool = True) -> str:
        return self._run(tools.binary("helm"), *arguments, check=check)

    def require_testbed(self, what: str) -> None:
        """For what only the testbed has: it is there, or the test is skipped by name."""
        if not self.is_testbed:
            pytest.skip(f"this cluster is not the testbed, and the test needs its {what}")

    def require_full(self) -> None:
        """For what takes long: the group full, or the test is skipped by name."""
        if os.environ.get("TTSRL_CLUSTER_GROUP") != "full":
            pytest.skip("only in the group full: make test-cluster-full")

    def require_api(self, kind: str) -> None:
        """For what needs an operator: the kind is known, or the test is skipped by name."""
        if kind not in known_kinds(self.kubeconfig):
            pytest.skip(f"this cluster does not know {kind}")

    def _run(
        self, program: Path, *arguments: str | Path, input: str | None = None, check: bool
    ) -> str:
        done = subprocess.run(
            [str(part) for part in (program, *arguments)],
            input=input,
            capture_output=True,
            text=True,
            cwd=REPOSITORY,
            env={**os.environ, "KUBECONFIG": str(self.kubeconfig)},
        )
        if check and done.returncode:
            command = " ".join(map(str, arguments))
            pytest.fail(f"{program.name} {command}\n{done.stdout}{done.stderr}")
        return done.stdout if done.returncode == 0 else done.stdout + done.stderr


@dataclass(frozen=True)
class Namespace:
    """One namespace of a test, with Pod Security "restricted"."""

    cluster: ClusterUnderTest
    name: str
    releases: list[str] = field(default_factory=list)

    def kubectl(self, *arguments: str | Path, input: str | None = None, check: bool = True) -> str:
        return self.cluster.kubectl("-n", self.name, *arguments, input=input, check=check)

    def helm(self, *arguments: str | Path, check: bool = True) -> str:
        return self.cluster.helm("-n", self.name, *arguments, check=check)

    def install(self, *arguments: str | Path, name: str = "ttsrl") -> None:
        """helm install --wait of the tiny stack; what went wrong is told with the pods' words."""
        self.releases.append(name)
        installed = ["install", name, CHART, "-f", TINY, *arguments, "--set", SMALL]
        installed += ["--wait", "--timeout", "5m"]
        said = self.helm(*installed, check=False)
        if "STATUS: deployed" not in said:
            pytest.fail(f"{said}\n{self.describe()}")

    def install_without_waiting(self, *arguments: str | Path) -> None:
        """The tiny stack's objects, for tests that need no running service."""
        self.releases.append("ttsrl")
        storage = ("--set", "run.storage=s3://bucket")
        self.helm("install", "ttsrl", CHART, "-f", TINY, *storage, *arguments)

    def apply(self, objects: list[Manifest]) -> None:
        text = yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": objects})
        self.kubectl("apply", "--server-side", "-f", "-", input=text)

    def apply_as_users_do(self, objects: list[Manifest]) -> None:
        """`kubectl apply -f`, which leaves alone what it did not write the time before."""
        text = yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": objects})
        self.kubectl("apply", "-f", "-", input=text)

    def get(self, kind: str, name: str) -> Manifest | None:
        """The object, or None where there is none."""
        text = self.kubectl("get", kind, name, "--ignore-not-found", "-o", "json")
        return json.loads(text) if text else None

    def existing(self, kind: str, name: str) -> Manifest:
        """The object, which must be there."""
        found = self.get(kind, name)
        assert found is not None, f"there is no {kind} {name}"
        return found

    def list(self, kind: str, selector: str = "") -> list[Manifest]:
        return json.loads(self.kubectl("get", kind, "-l", selector, "-o", "json"))["items"]

    def until(self, what: str, ready: Callable[[], Any], seconds: float) -> Any:
        """Wait until `ready` gives something true, and give that; else fail and show the pods.

        What takes long is looked at less often: each look is a program that needs a core.
        """
        began = time.monotonic()
        while not (result := ready()):
            waited = time.monotonic() - began
            if waited > seconds:
                pytest.fail(f"{what}: not within {seconds:.0f} s\n{self.describe()}")
            time.sleep(min(SELDOM_S, max(POLL_S, waited / 20)))
        return result

    @contextmanager
    def forwarded(self, what: str, port: int) -> Generator[str]:
        """The address at which this machine reaches a port of a Service."""
        command = ["-n", self.name, "port-forward", what, f":{port}"]
        forward = subprocess.Popen(
            [tools.binary("kubectl"), "--kubeconfig", self.cluster.kubeconfig, *command],
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert forward.stdout
            said = forward.stdout.readline()  # Forwarding from 127.0.0.1:40123 -> 3000
            yield f"http://127.0.0.1:{said.split(':')[1].split()[0]}"
        finally:
            forward.kill()
            forward.wait()

    def describe(self) -> str:
        """Pods, events and the ends of logs: what one would look at next."""
        text = self.kubectl("get", "pods,jobs,rayjobs,pytorchjobs", "-o", "wide", check=False)
        text += self.kubectl("get", "events", "--sort-by=.lastTimestamp", check=False)[-4000:]
        for pod in self.kubectl("get", "pods", "-o", "name").split():
            log = self.kubectl("logs", pod, "--all-containers", "--tail=40", check=False)
            text += f"\n--- {pod}\n{log[-4000:]}"
        return text


@dataclass(frozen=True)
class Bucket:
    """A bucket with a user of its own, and the Secret that jobs/ reads, in a namespace."""

    endpoint: str
    name: str
    access: str
    secret: str

    @property
    def url(self) -> str:
        return f"s3://{self.name}"

    @property
    def values(self) -> tuple[str, ...]:
        """For helm: storage in this bucket."""
        return ("--set", f"run.storage={self.url},s3.endpoint={self.endpoint}")

    def credentials(self) -> str:
        keys = f"aws_access_key_id = {self.access}\naws_secret_access_key = {self.secret}\n"
        return f"[default]\n{keys}"

    def secret_manifest(self) -> Manifest:
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "ttsrl-s3"},
            "stringData": {"credentials": self.credentials()},
        }

    def client(self) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=self.access,
            aws_secret_access_key=self.secret,
            config=Config(s3={"addressing_style": "path"}),
        )

    def read(self, name: str) -> str:
        return self.client().get_object(Bucket=self.name, Key=name)["Body"].read().decode()

    def remove(self, prefix: str) -> None:
        """Every object below a prefix."""
        for name in self.object_names(prefix):
            self.client().delete_object(Bucket=self.name, Key=name)

    def object_names(self, prefix: str = "") -> list[str]:
        pages = (
            self.client().get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
        )
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]


def make_bucket(namespace: Namespace, server: s3.Gateway = s3.SHARED) -> Bucket:
    """A bucket named like the namespace, whose Secret lies in the namespace as ttsrl-s3."""
    if namespace.cluster.is_testbed:
        key, secret = f"key-{namespace.name}", secrets.token_urlsafe(24)
        server.admin("create-user", "--access", key, "--secret", secret, "--role", "userplus")
        bucket = Bucket(server.endpoint, namespace.name, key, secret)
    elif endpoint := os.environ.get("TTSRL_TEST_S3_ENDPOINT"):
        keys = boto3.Session().get_credentials()
        bucket = Bucket(endpoint, namespace.name, keys.access_key, keys.secret_key)
    else:
        pytest.skip(
            "this cluster's pods have no S3: set TTSRL_TEST_S3_ENDPOINT to an address that pods "
            "and this machine reach, and AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    bucket.client().create_bucket(Bucket=bucket.name)
    namespace.apply([bucket.secret_manifest()])
    return bucket


def manifests(folder: Path, kind: str = "") -> list[Manifest]:
    """Every object of the files that `kubectl apply -f folder` takes, or those of one kind."""
    texts = [path.read_text() for path in sorted(folder.glob("*.yaml"))]
    objects = [o for text in texts for o in yaml.safe_load_all(text) if o]
    return [o for o in objects if kind in ("", o["kind"])]


def on_cpus(objects: list[Manifest], cpu: str = "50m", memory: str = "128Mi") -> list[Manifest]:
    """The same objects for a node of two cores without GPUs: small requests, no GPU's taint.

    verl counts processes by GPUs: Ray is told of one slot, as helm/values/cpu.yaml tells it.
    """
    for job in objects:
        if job["kind"] == "RayJob":
            for group in job["spec"]["rayClusterSpec"]["workerGroupSpecs"]:
                group["rayStartParams"]["num-gpus"] = "1"
    for pod in (pod for o in objects for pod in _pod_specs(o)):
        pod.pop("tolerations", None)
        pod["nodeSelector"] = {"ttsrl.dev/pool": "cpu"}
        for container in (*pod["containers"], *pod.get("initContainers", [])):
            resources = container.setdefault("resources", {})
            resources["requests"] = {"cpu": cpu, "memory": memory}
            for limits in filter(None, [resources.get("limits")]):
                limits.pop("nvidia.com/gpu", None)
    return objects


def nowhere(objects: list[Manifest]) -> list[Manifest]:
    """The same objects, whose pods are admitted and then wait for a node that never comes."""
    for pod in (pod for o in objects for pod in _pod_specs(o)):
        pod["nodeSelector"] = NOWHERE
    return objects


def _pod_specs(part: Any) -> Iterator[Manifest]:
    if isinstance(part, dict):
        if "containers" in part:
            yield part
        else:
            for value in part.values():
                yield from _pod_specs(value)
    elif isinstance(part, list):
        for value in part:
            yield from _pod_specs(value)
