"""`ttsrl submit`, `status`, `logs`, `stop` and `doctor --cluster` against real operators."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from harness import (
    CHART,
    HEAD_NOWHERE,
    REWARD_NOWHERE,
    TINY,
    Bucket,
    ClusterUnderTest,
    Namespace,
    users_environment,
)
from testbed import operators
from testbed.gpus import gpu_node
from testbed.paths import REPOSITORY

TTSRL = Path(sys.executable).with_name("ttsrl")
A100 = REPOSITORY / "helm/values/a100-80.yaml"


class Cli:
    """The command as a user types it, in one namespace."""

    def __init__(self, namespace: Namespace) -> None:
        self.namespace = namespace

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [TTSRL, *arguments, "--namespace", self.namespace.name],
            capture_output=True,
            text=True,
            cwd=REPOSITORY,
            env=users_environment(KUBECONFIG=str(self.namespace.cluster.kubeconfig)),
        )

    def done(self, *arguments: str) -> str:
        done = self(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def refused(self, *arguments: str) -> str:
        refused = self(*arguments)
        assert refused.returncode == 2, refused.stdout + refused.stderr
        return refused.stderr


@pytest.fixture
def cli(namespace: Namespace) -> Cli:
    return Cli(namespace)


def install(namespace: Namespace, *arguments: str | Path) -> None:
    """Without --wait: what is asked of the cluster here needs no image."""
    storage = ("-f", TINY, "--set", "run.storage=s3://bucket", *REWARD_NOWHERE, *arguments)
    if "ttsrl" in namespace.releases:
        namespace.helm("upgrade", "ttsrl", CHART, *storage)
        return
    namespace.releases.append("ttsrl")
    namespace.helm("install", "ttsrl", CHART, *storage)


@contextmanager
def one_more_node(
    cluster: ClusterUnderTest, product: str, arch: str = "amd64", taint: str = ""
) -> Generator[str]:
    """A node of 8 GPUs of that product, which KWOK keeps; its name."""
    node = gpu_node(f"extra-{secrets.token_hex(3)}", product, "train", 8)
    node["metadata"]["labels"]["kubernetes.io/arch"] = arch
    if taint:
        node["spec"]["taints"].append({"key": taint, "value": "true", "effect": "NoSchedule"})
    cluster.kubectl("create", "-f", "-", input=json.dumps(node))
    try:
        yield node["metadata"]["name"]
    finally:
        cluster.kubectl("delete", "node", node["metadata"]["name"])


@contextmanager
def two_held(namespace: Namespace, product: str) -> Generator[tuple[str, str]]:
    """Two nodes of 8 GPUs that no other test asks for, half of each held; a release for them."""
    cluster = namespace.cluster
    with one_more_node(cluster, product) as one, one_more_node(cluster, product) as other:
        install(namespace, "-f", A100, "--set", f"train.gpu.products={{{product}}}")
        for node in (one, other):
            hold_gpus(namespace, node, 4)
        yield one, other


def hold_gpus(namespace: Namespace, node: str, gpus: int) -> None:
    """A pod of somebody else on a node."""
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    container = {"name": "c", "image": "x", "securityContext": security}
    pod: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"holds-{node}"},
        "spec": {
            "nodeName": node,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 10001,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "tolerations": [{"operator": "Exists"}],
            "containers": [{**container, "resources": {"limits": {"nvidia.com/gpu": gpus}}}],
        },
    }
    namespace.apply([pod])


def test_without_a_release_or_a_job_every_command_says_what_to_do(cli: Cli) -> None:
    assert "no release 'ttsrl' in the namespace" in cli.refused("submit")
    assert "no release 'ttsrl' in the namespace" in cli.refused("doctor", "--cluster")
    for command in ("status", "logs", "stop"):
        assert "no release 'ttsrl' in the namespace" in cli.refused(command)
    install(cli.namespace)
    for command in ("status", "logs", "stop"):
        assert "no training job 'ttsrl-train'" in cli.refused(command)


@pytest.mark.parametrize(
    ("kind", "api"),
    [("rayjob", "rayjobs"), ("pytorchjob", "pytorchjobs"), ("trainjob", "trainjobs")],
)
def test_a_job_is_submitted_once_and_stopped_without_leaving_a_pod(
    namespace: Namespace, cli: Cli, kind: str, api: str
) -> None:
    groups = {"rayjob": "ray.io", "pytorchjob": "kubeflow.org", "trainjob": "trainer.kubeflow.org"}
    group = groups[kind]
    namespace.cluster.require_api(f"{api}.{group}")
    install(namespace, *HEAD_NOWHERE)
    assert "ttsrl-train created" in cli.done("submit", "--kind", kind)
    uid = namespace.existing(api, "ttsrl-train")["metadata"]["uid"]
    assert "is there already" in cli.done("submit", "--kind", kind)
    assert namespace.existing(api, "ttsrl-train")["metadata"]["uid"] == uid
    other = "pytorchjob" if kind == "rayjob" else "rayjob"
    assert "two trainers would undo each other's work" in cli.refused("submit", "--kind", other)
    selector = "app.kubernetes.io/component=train"
    namespace.until("pods of the job", lambda: namespace.list("pods", selector), 180)
    assert "ttsrl-train" in cli.done("status")
    assert "is suspended, and its pods are gone" in cli.done("stop")
    [listed] = json.loads(cli.done("status", "--json"))
    assert (listed["run"], listed["phase"]) == ("ttsrl", "paused")
    assert "was suspended, and runs again" in cli.done("submit", "--kind", kind)
    assert "are gone" in cli.done("stop", "--delete")
    assert namespace.get(api, "ttsrl-train") is None
    assert namespace.list("pods", selector) == []


def test_a_changed_run_does_not_join_a_job_of_the_old_one(namespace: Namespace, cli: Cli) -> None:
    namespace.cluster.require_api("rayjobs.ray.io")
    install(namespace, *HEAD_NOWHERE)
    cli.done("submit")
    install(namespace, *HEAD_NOWHERE, "--set", "run.seed=2")
    assert "runs with another configuration" in cli.refused("submit")
    said = cli.refused("submit", "--config", "examples/tiny/run.json", "--set", "name=ttsrl")
    assert "seed is 2 there, 1 here" in said


def test_runs_share_a_release_and_go_with_it(namespace: Namespace, cli: Cli) -> None:
    """A sweep: each run has its own job and its own configuration, which goes with the job."""
    namespace.cluster.require_api("rayjobs.ray.io")
    install(namespace, *HEAD_NOWHERE)
    assert "ttsrl-train created" in cli.done("submit")
    for seed in (2, 3):
        said = cli.done("submit", "--name", f"seed{seed}", "--set", f"seed={seed}")
        assert f"ttsrl-seed{seed}-train created" in said
    lines = cli.done("status").splitlines()
    assert [line.partition(":")[0] for line in lines] == ["ttsrl", "seed2", "seed3"]
    listed = json.loads(cli.done("status", "--json"))
    assert [one["run"] for one in listed] == ["ttsrl", "seed2", "seed3"]
    # The state may change between two calls; which run and job it is may not.
    alone = json.loads(cli.done("status", "--json", "--run", "seed2"))
    assert (alone["run"], alone["job"]) == (listed[1]["run"], listed[1]["job"])
    assert alone.keys() == listed[1].keys()
    assert "ttsrl-seed2-train" in cli.done("status", "--run", "seed2")
    assert len(namespace.list("deployments", "app.kubernetes.io/component=reward")) == 1
    runs = {
        one["metadata"]["labels"]["ttsrl.dev/run"]: one
        for one in namespace.list("configmaps", "app.kubernetes.io/component=run")
    }
    assert [json.loads(runs[f"seed{n}"]["data"]["run.json"])["seed"] for n in (2, 3)] == [2, 3]
    job = namespace.existing("rayjobs", "ttsrl-seed2-train")
    [owner] = runs["seed2"]["metadata"]["ownerReferences"]
    assert owner["uid"] == job["metadata"]["uid"]
    assert runs["seed2"]["immutable"] is True

    said = cli.refused("submit", "--name", "other", "--set", "reward.composition=product")
    assert "gives another reward" in said
    cli.done("stop", "--delete", "--run", "seed2")
    namespace.until(
        "the run's ConfigMap is gone",
        lambda: namespace.get("configmaps", runs["seed2"]["metadata"]["name"]) is None,
        180,
    )
    assert namespace.get("rayjobs", "ttsrl-seed3-train")
    namespace.helm("uninstall", "ttsrl")
    namespace.releases.remove("ttsrl")
    namespace.until("no job is left", lambda: namespace.list("rayjobs", "") == [], 180)
    selector = "app.kubernetes.io/component=train"
    namespace.until("no pod is left", lambda: namespace.list("pods", selector) == [], 180)


def test_an_evaluation_is_submitted_once(namespace: Namespace, cli: Cli) -> None:
    namespace.cluster.require_api("rayjobs.ray.io")
    install(namespace)
    said = cli.done("eval", "--cluster")
    assert "created" in said and "ttsrl-eval" in said
    assert "is there already" in cli.done("eval", "--cluster")
    assert "no run 'exp7'" in cli.refused("eval", "--cluster", "--run", "exp7")


def test_a_pending_pod_is_explained_by_who_holds_the_gpus(namespace: Namespace, cli: Cli) -> None:
    namespace.cluster.require_testbed("fake nodes")
    product = "NVIDIA-H20"
    with two_held(namespace, product) as (node, _):
        cli.done("submit")

        def explained() -> str:
            said = cli.done("status")
            return said if f"no node has 8 {product} free;" in said else ""

        said = namespace.until("the reason in words", explained, 180)
        assert f"{namespace.name}/holds-{node}" in said


def test_what_is_amiss_is_refused_before_anything_starts(namespace: Namespace, cli: Cli) -> None:
    namespace.cluster.require_testbed("fake nodes with A6000 and A100")
    install(namespace, "-f", A100)
    install(namespace, "-f", A100, "--set", "train.gpu.products={H100}")
    said = cli("doctor", "--cluster", "--json").stdout
    assert "ttsrl.dev/pool = train and nvidia.com/gpu.product = H100 yet" in said
    assert "where an autoscaler adds such nodes" in said
    install(namespace, "-f", A100)
    said = cli.done("submit", "--dry-run")
    assert "rayjob API" in said and "created" not in said
    assert namespace.list("rayjobs") == []
    assert namespace.list("configmaps", "app.kubernetes.io/component=run") == []

    quota = {"hard": {"requests.nvidia.com/gpu": "4", "requests.memory": "500Gi"}}
    metadata = {"name": "gpus"}
    namespace.apply(
        [{"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": quota}]
    )
    said = cli.refused("submit")
    assert "of 4 requests.nvidia.com/gpu in use, and the job takes 8" in said
    assert "memory" not in said
    assert cli.refused("submit", "--dry-run") == said  # the same words, and the same exit code
    namespace.kubectl("delete", "resourcequota", "gpus")

    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "ttsrl-s3"}}
    namespace.apply([{**secret, "stringData": {"key": "x"}}])
    assert "has key, but not 'credentials'" in cli.refused("submit")
    namespace.kubectl("delete", "secret", "ttsrl-s3", "ttsrl-token")
    assert "Secret ttsrl-token: absent" in cli.refused("submit")
    assert namespace.get("rayjobs", "ttsrl-train") is None


def test_a_bucket_that_is_missing_is_refused_before_anything_starts(
    namespace: Namespace, bucket: Bucket, cli: Cli
) -> None:
    namespace.cluster.require_api("rayjobs.ray.io")
    absent = f"run.storage=s3://{bucket.name}-absent,s3.endpoint={bucket.endpoint}"
    install(namespace, "--set", absent)
    said = cli.refused("submit")
    assert f"no bucket '{bucket.name}-absent'" in said and "create it" in said
    assert namespace.get("rayjobs", "ttsrl-train") is None
    install(namespace, *bucket.values, *HEAD_NOWHERE)
    assert "created" in cli.done("submit")


def test_an_operator_that_is_missing_or_too_old_is_refused(namespace: Namespace, cli: Cli) -> None:
    namespace.cluster.require_testbed("KubeRay, whose API can be made older")
    install(namespace)
    with rayjobs_api(namespace) as version:
        version["served"] = False
    said = cli.refused("submit")
    assert "the cluster has no rayjobs of ray.io/v1; install KubeRay" in said
    with rayjobs_api(namespace) as version:
        version["served"] = True
        del version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["backoffLimit"]
    try:
        said = cli.refused("submit")
        assert "backoffLimit" in said and "the operator is too old: install KubeRay" in said
    finally:
        operators.kuberay()
    namespace.until("KubeRay's own API", lambda: cli("doctor", "--cluster").returncode == 0, 180)


@contextmanager
def rayjobs_api(namespace: Namespace) -> Generator[Any]:
    """The version v1 of the RayJobs' definition, to be changed in the block."""
    crd = namespace.get("crd", "rayjobs.ray.io")
    assert crd
    [version] = [one for one in crd["spec"]["versions"] if one["name"] == "v1"]
    yield version
    del crd["metadata"]["resourceVersion"]
    namespace.kubectl("replace", "-f", "-", input=json.dumps(crd))


def test_the_doctor_lists_what_a_job_would_need(namespace: Namespace, cli: Cli) -> None:
    namespace.cluster.require_api("rayjobs.ray.io")
    install(namespace)
    found = {one["name"]: one for one in json.loads(cli.done("doctor", "--cluster", "--json"))}
    assert found["rayjob API"]["state"] == "ok"
    assert found["job, as the cluster takes it"]["state"] == "ok"
    assert found["Secret ttsrl-token"]["state"] == "ok"
    assert found["Secret ttsrl-s3"]["state"] == "note"
    namespace.kubectl("delete", "pvc", "ttsrl-models", "--wait=false")
    namespace.kubectl("delete", "secret", "ttsrl-token")
    bad = cli("doctor", "--cluster", "--json")
    assert bad.returncode == 1
    assert "Secret ttsrl-token" in bad.stderr
