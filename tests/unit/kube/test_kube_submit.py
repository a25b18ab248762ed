"""What `ttsrl submit` would create, and what it refuses: pure parts, without a cluster."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from ttsrl.config.load import config_hash, load_run
from ttsrl.config.schema import RunConfig
from ttsrl.errors import BadInput
from ttsrl.kube import follow
from ttsrl.kube.images import images_for
from ttsrl.kube.manifests import (
    BASES,
    FOLLOW,
    TRAIN,
    machines_of,
    overlays,
    render,
    training_job,
)
from ttsrl.kube.names import Names
from ttsrl.kube.pending import gpus_of, gpus_wanted
from ttsrl.kube.quota import lacking, needed
from ttsrl.kube.readiness import nodes_for, quota_for, refuse, secret_has
from ttsrl.kube.release import Release, check_same, parse_run
from ttsrl.kube.training import RUN_HASH, JobRequest, job_for

GPU = "nvidia.com/gpu"


@pytest.fixture(scope="module")
def run() -> RunConfig:
    return load_run("examples/tiny/run.json", ["storage=s3://bucket"])


def release(run: RunConfig, name: str = "ttsrl", image: str | None = None) -> Release:
    return Release(Names(name), run, {"AWS_ENDPOINT_URL": "http://s3", "AWS_REGION": "r"}, image)


@pytest.mark.skipif(
    shutil.which("kubectl") is None, reason="no kubectl, which has kustomize: install it"
)
@pytest.mark.parametrize(
    "folder",
    [
        *BASES.values(),
        *(TRAIN / "overlays" / o for o in overlays()),
        *(FOLLOW / "base", FOLLOW / "overlays/cpu"),
    ],
    ids=str,
)
def test_a_manifest_is_rendered_as_kustomize_renders_it(folder: Path) -> None:
    rendered = subprocess.run(
        ["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=True
    )
    assert render(folder) == yaml.safe_load(rendered.stdout)


def test_what_is_submitted_for_the_release_ttsrl_is_what_is_committed() -> None:
    committed = json.loads(json.dumps(yaml.safe_load(Path("jobs/train/rayjob.yaml").read_text())))
    assert training_job("rayjob", Names("ttsrl")) == committed


def test_another_release_has_its_own_names_and_the_images_of_its_registry() -> None:
    job = training_job("rayjob", Names("news"), image="ghcr.io/me/ttsrl-train:2", queue="research")
    text = json.dumps(job)
    assert job["metadata"]["name"] == "news-ttsrl-train"
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "research"
    for name in ("run", "env", "token", "s3", "huggingface", "trackers", "models", "train"):
        assert f'"news-ttsrl-{name}"' in text
        assert f'"ttsrl-{name}"' not in text
    assert text.count('"app.kubernetes.io/instance": "news"') == 4
    assert text.count('"app.kubernetes.io/name": "ttsrl"') == 4
    assert text.count('"ghcr.io/me/ttsrl-train:2"') == 3
    assert '"ttsrl-train:' not in text


def test_what_follows_a_release_has_its_names_images_and_queue(run: RunConfig) -> None:
    there = release(run, "news", "ghcr.io/me/ttsrl-train:2")
    job = follow.job_for(there, JobRequest(queue="research"))
    assert job["metadata"]["name"] == "news-ttsrl-follow"
    assert job["metadata"]["annotations"] == {RUN_HASH: config_hash(run)}
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "research"
    pod = job["spec"]["template"]["spec"]
    images = [pod["initContainers"][0]["image"], pod["containers"][0]["image"]]
    assert images == ["ghcr.io/me/ttsrl-train:2", "ghcr.io/me/ttsrl-jobs:2"]
    assert pod["serviceAccountName"] == "news-ttsrl-jobs"
    assert GPU in json.dumps(pod)
    committed = json.loads(json.dumps(yaml.safe_load((FOLLOW / "follow-job.yaml").read_text())))
    plain = follow.job_for(release(run), JobRequest())
    del plain["metadata"]["annotations"]
    assert plain == committed
    on_cpu = run.model_copy(update={"train": run.train.model_copy(update={"device": "cpu"})})
    assert GPU not in json.dumps(follow.job_for(release(on_cpu), JobRequest()))


def test_a_name_that_kuberay_would_refuse_and_an_overlay_that_is_none() -> None:
    with pytest.raises(BadInput, match="KubeRay takes 47"):
        Names("a" * 40)
    with pytest.raises(BadInput, match=r"no overlay 'b200'; there are a100-40, a100-80"):
        training_job("rayjob", Names("ttsrl"), overlay="b200")
    with pytest.raises(BadInput, match="is of a PyTorchJob"):
        training_job("rayjob", Names("ttsrl"), overlay="pytorchjob-many-nodes")


def test_a_job_has_the_machines_of_its_run(run: RunConfig) -> None:
    job = job_for(release(run), JobRequest())
    assert machines_of(job) == (1, 1)
    assert job["metadata"]["annotations"] == {RUN_HASH: config_hash(run)}
    assert machines_of(job_for(release(run), JobRequest(overlay="cpu"))) == (1, 1)
    with pytest.raises(BadInput, match=r"'a100-80' has 1 x 8 GPU, and the run wants .* = 1 x"):
        job_for(release(run), JobRequest(overlay="a100-80"))
    large = run.model_copy(
        update={"train": run.train.model_copy(update={"gpus_per_node": 8, "nodes": 4})}
    )
    for request in (
        JobRequest("rayjob", "many-nodes"),
        JobRequest("pytorchjob", "pytorchjob-many-nodes"),
    ):
        job = job_for(release(large), request)
        assert machines_of(job) == (4, 8)
    with pytest.raises(BadInput, match="the plain manifest has 1 x 1 GPU"):
        job_for(release(large), JobRequest())


def test_a_runs_file_must_be_the_run_of_the_release(run: RunConfig) -> None:
    """Its paths are those of this checkout, and in the images the checkout lies in /app."""
    text = run.model_dump_json().replace(str(Path.cwd()), "/app")
    there = parse_run(text, "ConfigMap x")
    moved = there.reward.model_copy(update={"url": "http://x", "token_file": "/t"})
    check_same(release(there.model_copy(update={"reward": moved})), run)
    served = there.train.model_copy(update={"metrics_port": 9400})  # as the chart has it
    check_same(release(there.model_copy(update={"train": served})), run)
    other = run.model_copy(update={"seed": 7})
    with pytest.raises(BadInput, match=r"seed is 1 there, 7 here\. One release is one run"):
        check_same(release(there), other)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "ConfigMap x holds no run.json"),
        ('{"name": "r", "steps": 3}', "ConfigMap x: "),
    ],
)
def test_a_release_whose_run_is_none(text: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        parse_run(text, "ConfigMap x")


def test_gpus_that_verl_cannot_divide_are_refused(run: RunConfig) -> None:
    raw = run.model_dump(mode="json")
    raw["train"] |= {"gpus_per_node": 7}
    with pytest.raises(BadInput, match="are not divisible by 7 GPUs"):
        parse_run(json.dumps(raw), "ConfigMap x")


def node(name: str, product: str, gpus: int, architecture: str = "amd64") -> dict[str, Any]:
    labels = {"nvidia.com/gpu.product": product, "ttsrl.dev/pool": "train"}
    status = {"allocatable": {GPU: str(gpus)}, "nodeInfo": {"architecture": architecture}}
    return {"metadata": {"name": name, "labels": labels}, "status": status}


def test_nodes_for_a_job() -> None:
    job = training_job("rayjob", Names("ttsrl"), overlay="a100-80")
    product = "NVIDIA-A100-SXM4-80GB"
    [good] = nodes_for(job, [node("a", product, 8), node("b", "NVIDIA-RTX-A6000", 4)])
    assert (good.state, good.found) == ("ok", f"1 could take one: {product} (1)")
    for nodes, said in (
        ([node("b", "NVIDIA-RTX-A6000", 8)], "nodes are NVIDIA-RTX-A6000 (1)"),
        ([node("a", product, 4)], "the largest node has 4 GPUs"),
        ([node("a", product, 8, "arm64")], "they are arm64, and the images are amd64"),
        ([], "nodes are none"),
    ):
        [absent] = nodes_for(job, nodes)
        assert absent.state == "note"  # an autoscaler adds nodes when a pod waits for one
        assert said in absent.found
        assert "autoscaler" in absent.advice
        refuse([good, absent])


@pytest.mark.parametrize(
    "resource", ["amd.com/gpu", "nvidia.com/mig-3g.40gb", "gpu.intel.com/i915", GPU]
)
def test_a_gpu_is_one_whatever_its_resource_is_called(resource: str) -> None:
    limits = {resource: "2", "rdma/hca": "1", "vpc.amazonaws.com/efa": "4"}
    pod = {"spec": {"containers": [{"resources": {"limits": limits}}]}}
    assert gpus_wanted(pod) == 2
    assert gpus_of({"status": {"allocatable": limits | {"cpu": "8"}}}) == 2


def test_a_quota_that_wants_every_container_to_name_its_limit() -> None:
    job = training_job("rayjob", Names("ttsrl"))
    quota = {
        "metadata": {"name": "q"},
        "spec": {"hard": {"limits.cpu": "1000", "requests.memory": "9Ti"}},
        "status": {},
    }
    check = quota_for(job, [quota])
    assert check.state == "bad"
    assert "q wants limits.cpu of every container" in check.found
    assert "requests.memory" not in check.found
    hidden = quota_for(job, [quota], None)
    assert hidden.state == "note"
    default = {"spec": {"limits": [{"type": "Container", "default": {"cpu": "4"}}]}}
    assert quota_for(job, [quota], [default]).state == "ok"
    of_pods = {"spec": {"limits": [{"type": "Pod", "default": {"cpu": "4"}}]}}
    assert quota_for(job, [quota], [of_pods]).state == "bad"


def test_images_that_a_node_has_and_those_that_must_be_pulled() -> None:
    job = training_job("rayjob", Names("ttsrl"), image="ghcr.io/me/ttsrl-train:2")
    there = {"status": {"images": [{"names": ["ghcr.io/me/ttsrl-train:2"]}]}}
    assert [one.state for one in images_for(job, [there])] == ["ok"]
    [absent] = images_for(job, [])
    assert absent.state == "note"
    assert "skopeo inspect docker://ghcr.io/me/ttsrl-train:2" in absent.advice
    [plain] = images_for(training_job("rayjob", Names("ttsrl")), None)
    assert "its name has no registry" in plain.found


def test_quota_counts_every_pod_of_the_job() -> None:
    job = training_job("rayjob", Names("ttsrl"), overlay="many-nodes")
    total = needed(job)
    assert total["pods"] == 6
    assert total[f"requests.{GPU}"] == 32
    assert total["requests.cpu"] == total["cpu"] == 4 * 32 + parse("0.5") + parse("0.01")

    def quota(hard: dict[str, str], used: dict[str, str]) -> dict[str, Any]:
        return {"metadata": {"name": "q"}, "spec": {"hard": hard}, "status": {"used": used}}

    gpus = f"requests.{GPU}"
    room = quota({gpus: "40", "pods": "10"}, {gpus: "8", "pods": "4"})
    assert lacking(job, room) == []
    assert quota_for(job, [room]).state == "ok"
    short = quota({gpus: "40", "limits.memory": "2Ti"}, {gpus: "9"})
    assert lacking(job, short) == [f"q has 9 of 40 {gpus} in use, and the job takes 32"]
    assert quota_for(job, [room, short]).state == "bad"
    small = quota({"memory": "100Gi"}, {"memory": "1Gi"})
    assert lacking(job, small) == ["q has 1Gi of 100Gi memory in use, and the job takes 770Gi"]


def parse(amount: str) -> Any:
    from decimal import Decimal

    return Decimal(amount)


def test_a_secret_must_have_its_key() -> None:
    assert secret_has({"data": {"token": "eA=="}}, "t", "token", optional=False).state == "ok"
    assert secret_has(None, "t", "token", optional=False).state == "bad"
    assert secret_has(None, "s3", "credentials", optional=True).state == "note"
    wrong = secret_has({"data": {"key": "eA=="}}, "s3", "credentials", optional=True)
    assert (wrong.state, wrong.found) == ("bad", "has key, but not 'credentials'")


def test_a_release_tells_a_laptop_where_its_storage_is(run: RunConfig) -> None:
    there = release(run)
    assert there.address == "s3://bucket/runs/quickstart"
    assert there.storage_environment({}) == {"AWS_ENDPOINT_URL": "http://s3", "AWS_REGION": "r"}
    assert there.storage_environment({"AWS_ENDPOINT_URL": "http://tunnel"}) == {}
