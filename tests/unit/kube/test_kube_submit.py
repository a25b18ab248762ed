"""What `ttsrl submit` would create, and what it refuses: pure parts, without a cluster."""

import json
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from support.releases import release, values_of
from ttsrl.config.load import load_run, load_text
from ttsrl.config.schema import RunConfig
from ttsrl.errors import BadInput
from ttsrl.kube.evaluation import jobs_for
from ttsrl.kube.folder import look_at
from ttsrl.kube.images import images_for
from ttsrl.kube.manifests import Kind, Manifest
from ttsrl.kube.pending import gpus_of, gpus_wanted
from ttsrl.kube.quota import lacking, needed
from ttsrl.kube.readiness import nodes_for, quota_for, refuse, secret_has
from ttsrl.kube.release import parse_run
from ttsrl.kube.runs import another_run, check_same, own_run
from ttsrl.kube.training import RUN_HASH, job_for, objects_for, printed

GPU = "nvidia.com/gpu"


def test_what_is_submitted_for_the_release_ttsrl_is_what_is_committed() -> None:
    there = release()
    run = own_run(there)
    kinds: dict[Kind, str] = {"rayjob": ".", "pytorchjob": "pytorchjob"}
    for kind, folder in kinds.items():
        committed = yaml.safe_load((Path("jobs/train") / folder / f"{kind}.yaml").read_text())
        job = job_for(there, run, kind)
        owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "ttsrl-jobs"}
        assert job["metadata"].pop("ownerReferences") == [owner | {"uid": "of-the-jobs"}]
        assert job["metadata"].pop("annotations") == {RUN_HASH: run.digest}
        text = json.dumps(job)
        assert run.config_map in text
        assert json.loads(text.replace(run.config_map, "ttsrl-run")) == committed


def test_a_run_is_named_by_its_content_and_never_changes() -> None:
    first, same, other = (own_run(release({"run": {"seed": seed}})) for seed in (1, 1, 2))
    assert first.config_map == same.config_map != other.config_map
    manifest = first.manifest()
    assert manifest["immutable"] is True
    assert manifest["data"] == {"run.json": first.files["run.json"]}
    with_texts = own_run(release({"run": {"seed": 1}, "texts": '{"text": "hello"}'}))
    assert with_texts.config_map != first.config_map
    assert with_texts.manifest()["data"]["texts.jsonl"] == '{"text": "hello"}'


def test_another_release_has_its_own_names_images_and_queue() -> None:
    values = {"image": {"registry": "ghcr.io/me", "tag": "2"}, "fullnameOverride": "speech"}
    there = release(values, "news")
    text = json.dumps(job_for(there, own_run(there), "rayjob", "research"))
    job = json.loads(text)
    assert job["metadata"]["name"] == "speech-train"
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "research"
    for name in ("env", "token", "s3", "huggingface", "trackers", "models", "train"):
        assert f'"speech-{name}"' in text
        assert f'"ttsrl-{name}"' not in text
    assert text.count('"app.kubernetes.io/instance": "news"') == 4
    assert text.count('"ttsrl.dev/run": "news"') == 4
    assert text.count('"ghcr.io/me/ttsrl-train:2"') == 3
    assert "@" not in text


def test_another_run_has_its_own_jobs_and_the_rest_of_its_release() -> None:
    there = release(values_of("tiny-values", "cpu"))
    run = another_run(there, load_text(there.files["run.json"], ["name=exp7", "seed=7"], "x"))
    assert (run.run.seed, run.run.reward.url) == (7, there.run.reward.url)
    assert run.run.storage == there.run.storage
    job = job_for(there, run, "rayjob")
    text = json.dumps(job)
    assert job["metadata"]["name"] == "ttsrl-exp7-train"
    assert text.count('"ttsrl.dev/run": "exp7"') == 4
    assert text.count(f'"configMap": {{"name": "{run.config_map}"}}') == 2
    assert run.config_map.startswith("ttsrl-exp7-run-")
    for name in ("ttsrl-env", "ttsrl-token", "ttsrl-models"):
        assert f'"{name}"' in text
    own = job_for(there, own_run(there), "rayjob")
    assert (
        json.loads(
            text.replace("ttsrl-exp7-", "ttsrl-")
            .replace("--run exp7", "--run ttsrl")
            .replace('"exp7"', '"ttsrl"')
            .replace(run.config_map.replace("ttsrl-exp7-", "ttsrl-"), own_run(there).config_map)
            .replace(run.digest, own_run(there).digest)
        )
        == own
    )


def test_a_file_becomes_a_run_of_the_release_with_its_texts(tmp_path: Path) -> None:
    there = release(values_of("tiny-values", "cpu"))
    texts = tmp_path / "mine.txt"
    texts.write_text("four red tigers\nsix dogs\n")
    changes = ["name=exp8", f"data.texts={texts}", "train.device=cpu"]
    run = another_run(there, load_run("examples/tiny/run.json", changes))
    assert run.run.data.texts == "/etc/ttsrl/texts.txt"
    assert run.files["texts.txt"] == "four red tigers\nsix dogs\n"
    assert run.run.model == "/app/examples/tiny/policy"  # the images have it too
    assert run.run.train.metrics_port == there.run.train.metrics_port
    assert RunConfig.model_validate_json(run.files["run.json"]) == run.run


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            ["reward.composition=product"],
            r"gives another reward .*composition is .harmonic. there",
        ),
        (["reward.gates.max_s_per_char=0.4"], "gives another reward than the run 'exp9'"),
        (["train.nodes=2"], r"are for train.nodes = 1 x train.gpus_per_node = 1, .* wants 2 x 1"),
        (["model=tests"], r"model = .*tests lies on this machine, where no pod sees it"),
        (["data.texts=tests"], r"data.texts = .*tests does not fit into the run's ConfigMap"),
        ([f"name={'a' * 45}"], "KubeRay takes 47; give the run a shorter --name"),
    ],
    ids=lambda part: part[0] if isinstance(part, list) else "",
)
def test_a_run_that_a_release_cannot_serve_is_refused(changes: list[str], said: str) -> None:
    there = release(values_of("tiny-values", "cpu"))
    with pytest.raises(BadInput, match=said):
        another_run(there, load_run("examples/tiny/run.json", ["name=exp9", *changes]))


def test_a_release_s_own_run_has_its_name_for_itself() -> None:
    there = release(values_of("tiny-values", "cpu"))
    same = load_text(there.files["run.json"], [], "x")
    check_same(there, same)
    moved = same.model_copy(update={"reward": same.reward.model_copy(update={"url": "http://x"})})
    check_same(there, moved)
    with pytest.raises(BadInput, match=r"a run 'ttsrl' already.* seed is 1 there, 7 here\. Give"):
        check_same(there, same.model_copy(update={"seed": 7}))


def test_what_is_printed_is_what_kubectl_would_apply() -> None:
    during = {"run": {"eval": {"during_training": {}}}}
    there = release(during)
    printed_objects = list(yaml.safe_load_all(printed(there, own_run(there), "rayjob")))
    assert [one["kind"] for one in printed_objects] == ["ConfigMap", "RayJob", "Job"]
    assert all("ownerReferences" not in one["metadata"] for one in printed_objects)
    assert printed(there, own_run(there), "rayjob") == printed(
        release(during), own_run(release(during)), "rayjob"
    )


def test_an_evaluation_is_three_jobs_or_one_jobset() -> None:
    there = release()
    run = own_run(there)
    names = [
        [job["metadata"]["name"] for job in jobs_for(there, run, as_jobset=one)]
        for one in (False, True)
    ]
    assert names == [["ttsrl-merge", "ttsrl-eval", "ttsrl-eval-reduce"], ["ttsrl-eval"]]


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


def test_gpus_that_verl_cannot_divide_are_refused() -> None:
    raw = load_run("examples/tiny/run.json").model_dump(mode="json")
    raw["train"] |= {"gpus_per_node": 7}
    with pytest.raises(BadInput, match="are not divisible by 7 GPUs"):
        parse_run(json.dumps(raw), "ConfigMap x")


def rayjob(values: str) -> Manifest:
    there = release(values_of(values))
    return job_for(there, own_run(there), "rayjob")


def node(name: str, product: str, gpus: int, architecture: str = "amd64") -> dict[str, Any]:
    labels = {"nvidia.com/gpu.product": product, "ttsrl.dev/pool": "train"}
    labels["kubernetes.io/arch"] = architecture
    status = {"allocatable": {GPU: str(gpus)}, "nodeInfo": {"architecture": architecture}}
    return {"metadata": {"name": name, "labels": labels}, "status": status}


def test_nodes_for_a_job() -> None:
    job = rayjob("a100-80")
    product = "NVIDIA-A100-SXM4-80GB"
    [good] = nodes_for(job, [node("a", product, 8), node("b", "NVIDIA-RTX-A6000", 4)])
    assert (good.state, good.found) == ("ok", f"1 could take one: {product} (1)")
    for nodes, said in (
        ([node("b", "NVIDIA-RTX-A6000", 8)], "nodes are NVIDIA-RTX-A6000 (1)"),
        ([node("a", product, 4)], "the largest node has 4 GPUs"),
        ([node("a", product, 8, "arm64")], "no node has kubernetes.io/arch = amd64"),
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
    there = release()
    job = job_for(there, own_run(there), "rayjob")
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
    own = release({"image": {"registry": "ghcr.io/me", "tag": "2"}})
    job = job_for(own, own_run(own), "rayjob")
    there = {"status": {"images": [{"names": ["ghcr.io/me/ttsrl-train:2"]}]}}
    assert [one.state for one in images_for(job, [there])] == ["ok"]
    [absent] = images_for(job, [])
    assert absent.state == "note"
    assert "skopeo inspect docker://ghcr.io/me/ttsrl-train:2" in absent.advice
    [plain] = images_for(job_for(release(), own_run(release()), "rayjob"), None)
    assert "its name has no registry" in plain.found


def test_quota_counts_every_pod_of_the_job() -> None:
    job = rayjob("many-nodes")
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


SHARED = {"name": "shared", "nfs": {"server": "files", "path": "/runs"}}
MOUNT = {"name": "shared", "mountPath": "/mnt/runs/"}


@pytest.mark.parametrize(
    ("storage", "values", "state", "said"),
    [
        ("/mnt/runs/a", {"extraVolumes": [SHARED], "extraVolumeMounts": [MOUNT]}, "ok", "shared"),
        ("/mnt/runs", {"extraVolumes": [SHARED], "extraVolumeMounts": [MOUNT]}, "ok", "shared"),
        ("/models/runs", {}, "ok", "on the volume models"),
        ("/mnt/runs", {}, "bad", "ray-head has no volume there"),
        ("/mnt/runs2", {"extraVolumes": [SHARED], "extraVolumeMounts": [MOUNT]}, "bad", "no volu"),
        ("/tmp/runs", {}, "bad", "the volume tmp is an emptyDir"),
        (
            "/mnt/runs",
            {
                "extraVolumes": [{"name": "shared", "hostPath": {"path": "/x"}}],
                "extraVolumeMounts": [MOUNT],
            },
            "note",
            "a hostPath",
        ),
    ],
)
def test_storage_may_be_a_folder_that_all_pods_of_training_mount(
    storage: str, values: dict[str, Any], state: str, said: str
) -> None:
    there = release({"run": {"storage": storage}, "job": values})
    for kind in get_args(Kind):
        job = objects_for(there, own_run(there), kind)[-1]
        found = look_at(job, storage)
        words = said.replace("ray-head", "") if kind != "rayjob" else said
        assert (found.state, words in found.found) == (state, True), found


def test_a_volume_that_the_workers_lack_is_no_storage() -> None:
    values = {"extraVolumes": [SHARED], "extraVolumeMounts": [MOUNT]}
    there = release({"run": {"storage": "/mnt/runs"}, "train": {"head": values}})
    found = look_at(job_for(there, own_run(there), "rayjob"), "/mnt/runs")
    assert (found.state, found.found) == ("bad", "/mnt/runs: ray-worker has no volume there")


def test_a_release_tells_a_laptop_where_its_storage_is() -> None:
    there = release({"run": {"storage": "s3://bucket/x/"}, "s3": {"endpoint": "http://s3"}})
    assert there.address() == "s3://bucket/x/runs/ttsrl"
    assert there.address("exp7") == "s3://bucket/x/runs/exp7"
    environment = {"AWS_ENDPOINT_URL": "http://s3", "AWS_REGION": "us-east-1"}
    assert there.storage_environment({}) == environment
    assert there.storage_environment({"AWS_ENDPOINT_URL": "http://tunnel"}) == {}
