"""The manifests of jobs/: that they are what the chart renders, their form, names and security.

Kubernetes' own objects are checked against its schemas. What only an operator refuses (a time to
live without a shutdown, a submitter without security) is checked by hand: the API takes it.
"""

import copy
import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import kubernetes_validate
import pytest
import yaml
from kubernetes.utils import parse_quantity
from typer.testing import CliRunner

from support.releases import VALUES, release, values_of
from tools.jobs import FILES, rendered
from ttsrl.cli.app import app
from ttsrl.config.load import load_run
from ttsrl.kube import names
from ttsrl.kube.manifests import Kind, Manifest, Template, gpus_of, machines_of, parse
from ttsrl.kube.names import MAX_RAYJOB_CHARS, Names
from ttsrl.kube.runs import own_run
from ttsrl.kube.training import job_for, objects_for
from ttsrl.runtime.exit_codes import BAD_INPUT, FAILED, STOPPED
from ttsrl.training.ending import EXIT_CODE
from ttsrl.training.pod_starts import AGAIN

KUBERNETES = "1.34"
NAMES = Names("ttsrl", "ttsrl", "ttsrl")
APPLIED = {
    folder: sorted(Path("jobs", folder).glob("*.y*ml")) for folder in ("train", "eval", "follow")
}
PYTORCHJOB = Path("jobs/train/pytorchjob/pytorchjob.yaml")
TRAINJOB = Path("jobs/train/trainjob/trainjob.yaml")
JOBSET = Path("jobs/eval/jobset/jobset.yaml")
VERSION = tomllib.loads(Path("pyproject.toml").read_text())["project"]["version"]


def read(file: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(file.read_text()))


def committed() -> list[dict[str, Any]]:
    files = [*(file for folder in APPLIED.values() for file in folder), PYTORCHJOB, JOBSET]
    runtime, _ = read(TRAINJOB)  # which has the pods of the job
    return [*(document for file in files for document in read(file)), runtime]


def containers_of(pod: dict[str, Any]) -> list[dict[str, Any]]:
    """Those that run side by side: an init container that is always restarted is one of them."""
    beside = pod["spec"].get("initContainers", [])
    assert all(container["restartPolicy"] == "Always" for container in beside)
    return [*beside, *pod["spec"]["containers"]]


def named(document: dict[str, Any]) -> str:
    return f"{document['kind']}/{document['metadata']['name']}"


def pods(node: Any) -> Iterator[dict[str, Any]]:
    """Every pod template inside a document."""
    if isinstance(node, dict):
        if isinstance(node.get("spec"), dict) and "containers" in node["spec"]:
            yield node
        else:
            for value in node.values():
                yield from pods(value)
    elif isinstance(node, list):
        for value in node:
            yield from pods(value)


def worker_of(document: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """(number of machines, the pod of one) of a training job."""
    if document["kind"] == "RayJob":
        [group] = document["spec"]["rayClusterSpec"]["workerGroupSpecs"]
        assert group["replicas"] == group["minReplicas"] == group["maxReplicas"]
        return group["replicas"], group["template"]
    if document["kind"] == "TrainingRuntime":
        [node] = document["spec"]["template"]["spec"]["replicatedJobs"]
        return document["spec"]["mlPolicy"]["numNodes"], node["template"]["spec"]["template"]
    replicas = document["spec"]["pytorchReplicaSpecs"]
    for one in replicas.values():
        assert one["template"] == replicas["Master"]["template"]
    return sum(one["replicas"] for one in replicas.values()), replicas["Master"]["template"]


def test_the_files_are_what_the_chart_renders() -> None:
    there = {file: Path("jobs", file).read_text() for file in FILES}
    assert there == rendered(), "jobs/ is old: run `python -m tools.jobs` and read the diff"


def test_apply_takes_exactly_the_jobs() -> None:
    kinds = {
        folder: [named(d) for f in files for d in read(f)] for folder, files in APPLIED.items()
    }
    assert kinds == {
        "train": ["RayJob/ttsrl-train"],
        "eval": ["Job/ttsrl-eval", "Job/ttsrl-eval-reduce", "Job/ttsrl-merge"],
        "follow": ["Job/ttsrl-follow"],
    }


@pytest.mark.parametrize("document", committed(), ids=named)
def test_names_are_those_of_the_chart(document: dict[str, Any]) -> None:
    instance = document["metadata"]["labels"]["app.kubernetes.io/instance"]
    assert instance == NAMES.release
    assert document["metadata"]["name"].startswith(NAMES.fullname)
    assert len(document["metadata"]["name"]) <= MAX_RAYJOB_CHARS
    parts = ("run", "env", "token", "s3", "huggingface", "models", "trackers")
    known = {f"{NAMES.fullname}-{part}" for part in parts}
    text = json.dumps(document)
    used = set(re.findall(r'"(?:claimName|secretName)": "([^"]+)"', text))
    used |= set(re.findall(r'"(?:configMap|configMapRef|secretRef)": {"name": "([^"]+)"', text))
    assert used
    assert used <= known
    paths = {"run": names.RUN_FILE, "token": names.TOKEN_FILE, "s3": names.S3_CREDENTIALS_FILE}
    paths |= {"huggingface": names.HF_TOKEN_FILE, "models": names.MODELS_FOLDER + "/x"}
    for pod in pods(document):
        component = pod["metadata"]["labels"]["app.kubernetes.io/component"]
        account = "ttsrl-train" if component == "train" else "ttsrl-jobs"
        assert pod["spec"]["serviceAccountName"] == account
        volumes = [volume["name"] for volume in pod["spec"]["volumes"]]
        for container in containers_of(pod):
            for mount in container["volumeMounts"]:
                assert mount["name"] in volumes
                if mount["name"] in paths:
                    assert mount["mountPath"] == str(Path(paths[mount["name"]]).parent)
                    assert mount.get("readOnly", False) is (mount["name"] != "models")


@pytest.mark.parametrize("document", committed(), ids=named)
def test_every_pod_is_admitted_by_the_restricted_standard(document: dict[str, Any]) -> None:
    found = list(pods(document))
    assert len(found) == {"RayJob": 3, "JobSet": 3}.get(document["kind"], 1)
    for pod in found:
        spec = pod["spec"]
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
        assert spec["automountServiceAccountToken"] is False
        security = spec["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["runAsUser"] == security["runAsGroup"] == security["fsGroup"] == 10001
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        for volume in spec["volumes"]:
            assert volume.keys() - {"name"} <= {
                "configMap",
                "secret",
                "persistentVolumeClaim",
                "emptyDir",
            }
        on_gpu = "nvidia.com/gpu" in json.dumps(spec["containers"])
        for container in containers_of(pod):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
            assert "/tmp" in mounts
            assert "memory" in container["resources"]["limits"]
            assert container["image"] in (f"ttsrl-train:{VERSION}", f"ttsrl-jobs:{VERSION}")
            if "nvidia.com/gpu" in container["resources"]["limits"]:
                [shm] = [v for v in spec["volumes"] if v["name"] == "shm"]
                assert shm["emptyDir"]["medium"] == "Memory"
                assert {t["key"] for t in spec["tolerations"]} == {"nvidia.com/gpu"}
            elif not on_gpu:
                assert "tolerations" not in spec
        assert pod["metadata"]["labels"]["app.kubernetes.io/version"] == VERSION


@pytest.mark.parametrize("document", committed(), ids=named)
def test_kubernetes_own_parts_fit_its_schemas(document: dict[str, Any]) -> None:
    found = list(pods(document))
    assert found
    for pod in found:
        whole: dict[str, Any] = {"apiVersion": "v1", "kind": "Pod", **copy.deepcopy(pod)}
        whole["metadata"] = {**whole["metadata"], "name": "pod"}
        kubernetes_validate.validate(whole, KUBERNETES, strict=True)
    if document["kind"] == "Job":
        kubernetes_validate.validate(copy.deepcopy(document), KUBERNETES, strict=True)


def test_every_loss_of_a_ray_pod_is_one_counted_retry_that_ends_and_leaks_nothing() -> None:
    [document] = read(Path("jobs/train/rayjob.yaml"))
    spec = document["spec"]
    assert (spec["submissionMode"], spec["submitterConfig"]) == ("K8sJobMode", {"backoffLimit": 0})
    assert spec["backoffLimit"] > 0
    assert spec["activeDeadlineSeconds"] > 0
    assert spec["shutdownAfterJobFinishes"] is True  # without it KubeRay refuses a time to live
    assert spec["ttlSecondsAfterFinished"] == 0  # GPUs go at once, whatever the end
    # its rules know SUCCEEDED and FAILED: the cluster of a STOPPED job would stay for ever
    assert "deletionStrategy" not in spec
    assert option_of(shlex.split(spec["entrypoint"]), "--max-starts") == "6"
    assert spec["backoffLimit"] == 99  # KubeRay counts what a lost node ended, too
    assert spec["submitterPodTemplate"]["spec"]["restartPolicy"] == "Never"
    cluster = spec["rayClusterSpec"]
    assert "enableInTreeAutoscaling" not in cluster
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    lock = tomllib.loads(Path("uv.lock").read_text())
    [ray] = [package["version"] for package in lock["package"] if package["name"] == "ray"]
    assert cluster["rayVersion"] == ray  # it decides how KubeRay probes the pods


def test_training_saves_before_a_pod_of_ray_goes() -> None:
    [document] = read(Path("jobs/train/rayjob.yaml"))
    cluster = document["spec"]["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    for group, is_worker in zip(groups, (False, True), strict=True):
        pod = group["template"]["spec"]
        command = pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
        assert command[:3] == ["ttsrl", "job", "leave"]
        assert ("--worker" in command) is is_worker
        grace_s = float(option_of(command, "--grace-s"))
        assert load_run("examples/tiny/run.json").train.termination_grace_s <= grace_s
        assert grace_s < pod["terminationGracePeriodSeconds"]
        assert option_of(command, "--work-dir") in document["spec"]["entrypoint"]


def test_a_trainjob_starts_again_what_another_start_may_do_better() -> None:
    runtime, job = read(TRAINJOB)
    assert job["spec"]["runtimeRef"]["name"] == runtime["metadata"]["name"]
    assert job["spec"]["runtimeRef"]["kind"] == runtime["kind"] == "TrainingRuntime"
    jobset = runtime["spec"]["template"]["spec"]
    [rule] = jobset["failurePolicy"]["rules"]
    assert rule["action"] == "FailJobSet"
    assert "PodFailurePolicy" in rule["onJobFailureReasons"]
    [node] = jobset["replicatedJobs"]
    assert node["template"]["spec"]["backoffLimit"] == 0
    [ends] = node["template"]["spec"]["podFailurePolicy"]["rules"]
    codes = ends["onExitCodes"]["values"]
    assert {BAD_INPUT, STOPPED, FAILED} <= set(codes)
    assert not {AGAIN, EXIT_CODE} & set(codes)
    _, pod = worker_of(runtime)
    assert pod["spec"]["restartPolicy"] == "Never"
    [container] = pod["spec"]["containers"]
    name, given = job["metadata"]["name"], {one["name"]: one for one in container["env"]}
    assert given["MASTER_ADDR"]["value"] == f"{name}-{node['name']}-0-0.{name}"
    where = given["RANK"]["valueFrom"]["fieldRef"]["fieldPath"]
    assert where == "metadata.annotations['batch.kubernetes.io/job-completion-index']"
    two = release({"run": {"train": {"nodes": 2}}})
    more, _ = objects_for(two, own_run(two), "trainjob")[::-1]
    nodes, pod = worker_of(more)
    [world] = [e for e in pod["spec"]["containers"][0]["env"] if e["name"] == "WORLD_SIZE"]
    assert (nodes, world["value"]) == (2, "2")
    assert "podGroupPolicy" not in more["spec"]


def test_volcano_is_told_that_the_pods_of_a_trainjob_belong_together() -> None:
    with_volcano = release({"train": {"schedulerName": "volcano"}})
    runtime, _ = objects_for(with_volcano, own_run(with_volcano), "trainjob")[::-1]
    assert runtime["spec"]["podGroupPolicy"] == {"volcano": {}}
    _, pod = worker_of(runtime)
    assert pod["spec"]["schedulerName"] == "volcano"


def test_ray_has_memory_for_its_objects() -> None:
    [document] = read(Path("jobs/train/rayjob.yaml"))
    for group in (
        document["spec"]["rayClusterSpec"]["headGroupSpec"],
        *document["spec"]["rayClusterSpec"]["workerGroupSpecs"],
    ):
        check_shared_memory(group)


def check_shared_memory(group: dict[str, Any]) -> None:
    spec = group["template"]["spec"]
    [shm] = [v["emptyDir"]["sizeLimit"] for v in spec["volumes"] if v["name"] == "shm"]
    memory = spec["containers"][0]["resources"]["limits"]["memory"]
    objects = int(group["rayStartParams"]["object-store-memory"])
    assert objects < parse_quantity(shm) < parse_quantity(memory)


def test_evaluation_ends_at_once_for_bad_input_and_knows_its_shards() -> None:
    shards, reduce, merge = (document for file in APPLIED["eval"] for document in read(file))
    for job in (merge, shards, reduce):
        fail, ignore = job["spec"]["podFailurePolicy"]["rules"]
        container = container_of(job)["name"]
        on = {"containerName": container, "operator": "In", "values": [2, 3]}
        assert fail == {"action": "FailJob", "onExitCodes": on}
        assert ignore["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
        assert job["spec"]["template"]["spec"]["restartPolicy"] == "Never"
        assert job["spec"]["activeDeadlineSeconds"] > wait_s(job)
        assert job["spec"]["ttlSecondsAfterFinished"] > 0
    assert shards["spec"]["completionMode"] == "Indexed"
    assert option(shards, "--of") == option(reduce, "--of") == str(shards["spec"]["completions"])
    assert wait_s(merge) <= wait_s(shards) < wait_s(reduce)


def test_the_follower_outlives_training_and_merges_beside_itself_as_long_as_it_runs() -> None:
    [follow] = read(Path("jobs/follow/follow-job.yaml"))
    [rayjob], [merge] = read(APPLIED["train"][0]), read(Path("jobs/eval/merge-job.yaml"))
    spec = follow["spec"]
    assert spec["activeDeadlineSeconds"] > rayjob["spec"]["activeDeadlineSeconds"]
    fail, ignore = spec["podFailurePolicy"]["rules"]
    assert fail["onExitCodes"] == {"containerName": "follow", "operator": "In", "values": [2, 3]}
    assert ignore["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    [beside], [main] = (spec["template"]["spec"][k] for k in ("initContainers", "containers"))
    assert beside["restartPolicy"] == "Always"  # else the container below would wait for its end
    assert option(follow, "--merged") in beside["args"]
    for container in (beside, main):
        assert {"name": "merged", "mountPath": option(follow, "--merged")} in container[
            "volumeMounts"
        ]
    assert beside["image"] == container_of(merge)["image"]  # verl is only there
    assert beside["resources"]["limits"] == container_of(merge)["resources"]["limits"]


def container_of(job: dict[str, Any]) -> dict[str, Any]:
    return job["spec"]["template"]["spec"]["containers"][0]


def option_of(command: list[str], name: str) -> str:
    return command[command.index(name) + 1]


def option(job: dict[str, Any], name: str) -> str:
    arguments = container_of(job)["args"]
    return option_of(arguments, name)


def wait_s(job: dict[str, Any]) -> float:
    return float(option(job, "--wait-s"))


def commands() -> Iterator[list[str]]:
    """What pods run: the whole command line of each container, and of the RayJob."""
    documents = [*committed(), *read(Path("jobs/verify/job.yaml"))]
    for document in documents:
        if "entrypoint" in document["spec"]:
            yield shlex.split(document["spec"]["entrypoint"])
        for pod in pods(document):
            for container in containers_of(pod):
                if "command" in container:
                    yield container["command"] + container["args"]


def test_the_command_line_takes_what_the_manifests_give_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("RANK", "MASTER_PORT", "JOB_COMPLETION_INDEX"):
        monkeypatch.setenv(name, "0")
    lines = list(commands())
    assert {line[2] for line in lines} == {
        *("train", "pytorchjob", "merge", "eval-shard", "eval-reduce", "check"),
        *("follow", "merge-wanted"),
    }
    for program, *arguments in lines:
        assert program == "ttsrl"
        ended = CliRunner().invoke(app, arguments)
        assert (ended.exit_code, ended.stdout) == (2, ""), arguments
        assert ended.stderr.startswith("error: no such file: /etc/ttsrl/run.json"), arguments


@pytest.mark.parametrize("command", ["train", "pytorchjob"])
def test_a_job_trains_no_other_run_than_its_own(
    tmp_path: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What kubectl applied reads the release's run, which an upgrade may have made another one."""
    lines = [line for line in commands() if line[2] == command]
    assert lines and all(option_of(line, "--run") == NAMES.run for line in lines)
    run = tmp_path / "run.json"
    monkeypatch.delenv("RANK", raising=False)
    later = {"train": "storage", "pytorchjob": "RANK is not set"}[command]
    for name, said in (("exp7", "this job is for the run 'ttsrl', and"), ("ttsrl", later)):
        raw = load_run("examples/tiny/run.json", [f"name={name}"]).model_dump(mode="json")
        raw["storage"] = "s3:///"  # which ends it, once it is to be trained
        run.write_text(json.dumps(raw))
        arguments = ["job", command, "--config", str(run), "--work-dir", str(tmp_path)]
        ended = CliRunner().invoke(app, [*arguments, "--run", "ttsrl"])
        assert ended.exit_code == BAD_INPUT and said in ended.stderr, ended.stderr


def test_the_jobset_has_the_pods_of_the_jobs_in_their_order() -> None:
    [jobset] = read(JOBSET)
    order = jobset["spec"]["replicatedJobs"]
    assert [(job["name"], job.get("dependsOn")) for job in order] == [
        ("merge", None),
        ("shards", [{"name": "merge", "status": "Complete"}]),
        ("reduce", [{"name": "shards", "status": "Complete"}]),
    ]
    shards, reduce, merge = (document for file in APPLIED["eval"] for document in read(file))
    for replicated, job in zip(order, (merge, shards, reduce), strict=True):
        spec = {k: v for k, v in job["spec"].items() if k != "ttlSecondsAfterFinished"}
        assert replicated["template"]["spec"] == spec


def test_a_pytorchjob_has_the_pod_of_a_ray_worker_and_the_name_its_webhook_wants() -> None:
    [rayjob], [pytorchjob] = read(Path("jobs/train/rayjob.yaml")), read(PYTORCHJOB)
    assert pytorchjob["metadata"]["name"] == rayjob["metadata"]["name"]
    nodes, pod = worker_of(pytorchjob)
    _, worker = worker_of(rayjob)
    assert nodes == 1
    assert pytorchjob["spec"]["runPolicy"]["activeDeadlineSeconds"] > 0  # refused pods end too
    # a run that a guard stopped is not started again; other starts are counted by the pods
    assert "backoffLimit" not in pytorchjob["spec"]["runPolicy"]
    assert pytorchjob["spec"]["pytorchReplicaSpecs"]["Master"]["restartPolicy"] == "ExitCode"
    assert "--max-starts" in pod["spec"]["containers"][0]["args"]
    ours, theirs = copy.deepcopy(pod), copy.deepcopy(worker)
    assert ours["spec"]["containers"][0].pop("name") == "pytorch"
    for container in (*ours["spec"]["containers"], *theirs["spec"]["containers"]):
        for different in ("command", "args", "resources", "name"):
            container.pop(different, None)
    assert theirs["spec"]["containers"][0].pop("lifecycle")  # the other's pods get SIGTERM
    keys = {"secretRef": {"name": "ttsrl-trackers", "optional": True}}
    ours["spec"]["containers"][0]["envFrom"].remove(keys)  # of a Ray cluster the head alone
    assert ours == theirs
    _, of_trainer = worker_of(read(TRAINJOB)[0])
    again = copy.deepcopy(of_trainer)
    assert again["spec"].pop("restartPolicy") == "Never"
    again["spec"]["containers"][0] |= {"name": "pytorch"}
    del again["spec"]["containers"][0]["env"]
    assert again == pod


def jobs_of(values: dict[str, Any]) -> dict[str, Manifest]:
    """Every job that a release has with these values, by the name of its template."""
    there = release(values)
    return {name: parse(there.job(name, there.names, "c")) for name in get_args(Template)}


def test_on_cpus_nothing_asks_for_a_gpu_or_a_labelled_node() -> None:
    jobs = jobs_of(values_of("tiny-values", "cpu"))
    asked = [pod for job in jobs.values() for pod in pods(job)]
    assert len(asked) == 12  # RayJob 3, PyTorchJob, TrainJob, 4 of evaluation, JobSet 3
    for pod in asked:
        assert "nvidia.com/gpu" not in json.dumps(pod)
        affinity = pod["spec"].get("affinity", {}).get("nodeAffinity", {})
        assert affinity.keys() <= {"preferredDuringSchedulingIgnoredDuringExecution"}


@pytest.mark.parametrize("file", VALUES, ids=lambda file: file.stem)
def test_a_values_file_has_the_machines_of_its_run(file: Path) -> None:
    values = values_of(file.stem)
    there = release(values)
    for kind in get_args(Kind):
        job = objects_for(there, own_run(there), kind)[-1]
        nodes, pod = worker_of(job)
        train = there.run.train
        assert nodes == train.nodes
        assert gpus_of(pod) == (0 if train.device == "cpu" else train.gpus_per_node)
        assert job["kind"].lower() != "rayjob" or machines_of(job) == (nodes, train.gpus_per_node)
        for key, value in values.get("train", {}).get("nodeSelector", {}).items():
            assert pod["spec"]["nodeSelector"][key] == value
        [products] = [
            term["matchExpressions"][0]["values"]
            for required in [pod["spec"].get("affinity", {}).get("nodeAffinity", {})]
            for term in required.get(
                "requiredDuringSchedulingIgnoredDuringExecution",
                {"nodeSelectorTerms": [{"matchExpressions": [{"values": []}]}]},
            )["nodeSelectorTerms"]
        ]
        assert products == values.get("train", {}).get("gpu", {}).get("products", [])
    rayjob = job_for(there, own_run(there), "rayjob")
    check_shared_memory(rayjob["spec"]["rayClusterSpec"]["workerGroupSpecs"][0])
