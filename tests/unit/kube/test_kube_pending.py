"""Why a pod is pending and how far a job is, from what real API servers answered."""

from pathlib import Path
from typing import Any

import pytest

from support.paths import TINY
from support.records import step_of
from ttsrl.config.load import load_run
from ttsrl.kube.pending import why_pending
from ttsrl.kube.queueing import why_not_admitted
from ttsrl.kube.state import state_of
from ttsrl.kube.status import Status, job_line, pod_line
from ttsrl.records.record import to_line
from ttsrl.records.step_line import POLICY, StepLine, policy_of
from ttsrl.training.follower import Follower
from ttsrl.training.metrics import TrainMetrics

TINY_RUN = TINY / "run.json"
A100, A6000 = "NVIDIA-A100-SXM4-80GB", "NVIDIA-RTX-A6000"
SCHEDULER = (
    "0/6 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, 2 Insufficient "
    "nvidia.com/gpu. preemption: 0/6 nodes are available: 6 Preemption is not helpful."
)


def node(name: str, product: str = A100, gpus: int = 8, pool: str = "train") -> dict[str, Any]:
    labels = {"nvidia.com/gpu.product": product, "ttsrl.dev/pool": pool}
    return {
        "metadata": {"name": name, "labels": labels},
        "status": {"allocatable": {"nvidia.com/gpu": str(gpus), "cpu": "64"}},
    }


def pod(gpus: int = 8, products: list[str] | None = None, **more: Any) -> dict[str, Any]:
    expressions: list[dict[str, Any]] = [
        {"key": "ttsrl.dev/pool", "operator": "In", "values": ["train"]}
    ]
    if products:
        expressions.append({"key": "nvidia.com/gpu.product", "operator": "In", "values": products})
    terms = {"nodeSelectorTerms": [{"matchExpressions": expressions}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}
    unscheduled = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": SCHEDULER,
    }
    resources = {"resources": {"limits": {"nvidia.com/gpu": gpus}}} if gpus else {}
    return {
        "metadata": {"name": "worker", "namespace": "me", "uid": "u1"},
        "spec": {"containers": [{"name": "c", **resources}], "affinity": affinity},
        "status": {"phase": "Pending", "conditions": [unscheduled]},
        **more,
    }


def holder(name: str, on: str, gpus: int, phase: str = "Running") -> dict[str, Any]:
    limits = {"limits": {"nvidia.com/gpu": str(gpus)}}
    return {
        "metadata": {"name": name, "namespace": "team-x"},
        "spec": {"nodeName": on, "containers": [{"resources": limits}]},
        "status": {"phase": phase},
    }


def started(**status: Any) -> dict[str, Any]:
    one = pod(0)
    one["status"] = {"phase": "Pending", **status}
    return one


@pytest.mark.parametrize(
    ("waiting", "nodes", "pods", "said"),
    [
        (
            pod(8, [A100, "A100-SXM4-80GB"]),
            [node("a1"), node("a2"), node("b1", A6000)],
            [holder("job-y", "a1", 4), holder("b", "b1", 8), holder("old", "a2", 8, "Succeeded")],
            f"the scheduler says: {SCHEDULER}",
        ),
        (
            pod(8, [A100, "A100-SXM4-80GB"]),
            [node("a1"), node("a2"), node("b1", A6000)],
            [holder("job-y", "a1", 1), holder("job-z", "a2", 3)],
            f"no node has 8 {A100} free; 4 are held by team-x/job-z, team-x/job-y",
        ),
        (
            pod(1),
            [node("a1", gpus=1)],
            [holder("job", "a1", 1)],
            "no node has a GPU free; 1 is held by team-x/job",
        ),
        (
            pod(8, [A100]),
            [node("a1", gpus=4)],
            [],
            f"no node has 8 GPUs: the largest {A100} has 4; lower train.gpus_per_node, or use more "
            "nodes",
        ),
        (
            pod(8, ["NVIDIA-H200"]),
            [node("a1"), node("b1", A6000), node("b2", A6000)],
            [],
            f"no node has nvidia.com/gpu.product = NVIDIA-H200; there are {A100} (1), {A6000} (2)",
        ),
        (
            pod(1),
            [node("b1", A6000, pool="reward")],
            [],
            "no node has ttsrl.dev/pool = train; there are reward (1); label nodes: kubectl label "
            "node NAME ttsrl.dev/pool=train",
        ),
        (pod(8, [A100]), None, None, f"the scheduler says: {SCHEDULER}"),
        (pod(0), [node("a1")], [], f"the scheduler says: {SCHEDULER}"),
    ],
    ids=["not-the-gpus", "held", "one", "too-many", "no-product", "no-pool", "hidden", "no-gpu"],
)
def test_a_pod_that_finds_no_node(
    waiting: dict[str, Any], nodes: Any, pods: Any, said: str
) -> None:
    assert why_pending(waiting, nodes, pods) == said


def test_a_node_that_runs_alone_with_gpus_but_whose_holders_are_hidden() -> None:
    """All pods are hidden, and the GPUs seem free: the scheduler knows better."""
    assert why_pending(pod(8), [node("a1")], None) == f"the scheduler says: {SCHEDULER}"


def test_a_pod_held_back_by_a_queue() -> None:
    gated = pod()
    gated["spec"]["schedulingGates"] = [{"name": "kueue.x-k8s.io/admission"}]
    gated["status"]["conditions"][0]["reason"] = "SchedulingGated"
    assert why_pending(gated, [], []).startswith("held back by kueue.x-k8s.io/admission:")


@pytest.mark.parametrize(
    ("container", "said"),
    [
        (
            {"state": {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling"}}},
            "the image ttsrl-train:1 cannot be had: Back-off pulling; push it, or give "
            "the release another image",
        ),
        (
            {
                "state": {
                    "waiting": {
                        "reason": "ErrImagePull",
                        "message": "no match for platform in manifest: not found",
                    }
                }
            },
            "the image ttsrl-train:1 is built for another architecture than the node's",
        ),
        (
            {
                "state": {
                    "waiting": {
                        "reason": "CreateContainerConfigError",
                        "message": 'configmap "ttsrl-env" not found',
                    }
                }
            },
            'ray-worker lacks what its configuration names: configmap "ttsrl-env" not found',
        ),
        (
            {
                "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}},
                "lastState": {"terminated": {"exitCode": 2}},
            },
            "ray-worker keeps ending with exit code 2; see `ttsrl logs`",
        ),
        ({"state": {"waiting": {"reason": "ContainerCreating"}}}, "its containers are being made"),
    ],
)
def test_a_pod_whose_container_does_not_run(container: dict[str, Any], said: str) -> None:
    named = {"name": "ray-worker", "image": "ttsrl-train:1", **container}
    assert why_pending(started(containerStatuses=[named]), [], []) == said


def test_a_volume_that_cannot_be_mounted_is_told_by_the_newest_warning() -> None:
    def event(message: str, at: str, uid: str = "u1", kind: str = "Warning") -> dict[str, Any]:
        return {
            "type": kind,
            "message": message,
            "lastTimestamp": at,
            "involvedObject": {"uid": uid},
        }

    events = [
        event("an older one", "2026-11-25T01:00:00Z"),
        event('MountVolume.SetUp failed: secret "ttsrl-token" not found', "2026-11-25T01:00:09Z"),
        event("another pod's", "2026-11-25T01:00:10Z", uid="u2"),
        event("Successfully assigned", "2026-11-25T01:00:11Z", kind="Normal"),
    ]
    said = why_pending(started(), [], [], events)
    assert said == 'MountVolume.SetUp failed: secret "ttsrl-token" not found'


def test_a_running_pod_needs_no_explanation() -> None:
    running = started()
    running["status"] = {"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]}
    running["spec"]["nodeName"] = "a1"
    assert why_pending(running, [], []) == ""
    assert pod_line(running, "") == "worker: Starting on a1"


RAYJOB = {"kind": "RayJob", "spec": {"backoffLimit": 5}}


@pytest.mark.parametrize(
    ("status", "phase", "words"),
    [
        (None, "starting", "not seen by KubeRay yet; is the operator running?"),
        (
            {"jobDeploymentStatus": "Initializing"},
            "starting",
            "its Ray cluster is starting, attempt 1 of 6",
        ),
        ({"jobDeploymentStatus": "Running", "failed": 2}, "running", "running, attempt 3 of 6"),
        (
            {"jobDeploymentStatus": "Retrying", "failed": 1},
            "retrying",
            "an attempt failed, a new Ray cluster comes, attempt 2 of 6",
        ),
        (
            {"jobDeploymentStatus": "Complete", "jobStatus": "SUCCEEDED"},
            "done",
            "done, attempt 1 of 6",
        ),
        (
            {"jobDeploymentStatus": "Complete", "jobStatus": "STOPPED"},
            "stopped",
            "stopped by a guard, for bad input, after too many starts without a new "
            "checkpoint, or by `ray job stop`: it is not retried; see `ttsrl logs`",
        ),
        (
            # seen: the head is gone, and jobStatus stays RUNNING for ever
            {
                "jobDeploymentStatus": "Failed",
                "jobStatus": "RUNNING",
                "failed": 6,
                "reason": "SubmissionFailed",
                "message": "the submitter failed",
            },
            "failed",
            "Failed after 6 of 6 attempts: SubmissionFailed: the submitter failed",
        ),
        (
            {"jobDeploymentStatus": "ValidationFailed", "message": "a TTL needs a shutdown"},
            "failed",
            "ValidationFailed after 1 of 6 attempts: a TTL needs a shutdown",
        ),
        (
            {"jobDeploymentStatus": "Suspended"},
            "suspended",
            "suspended: its queue has not admitted it",
        ),
    ],
)
def test_state_of_a_rayjob(status: Any, phase: str, words: str) -> None:
    state = state_of({**RAYJOB, "status": status})
    assert (state.phase, state.words) == (phase, words)
    assert state.has_ended == (phase in ("done", "stopped", "failed"))


@pytest.mark.parametrize(
    ("conditions", "phase"),
    [
        ([], "starting"),
        ([("Created", "True")], "starting"),
        ([("Created", "True"), ("Running", "True")], "running"),
        ([("Created", "True"), ("Running", "False"), ("Restarting", "True")], "retrying"),
        ([("Created", "True"), ("Running", "False"), ("Succeeded", "True")], "done"),
        ([("Created", "True"), ("Running", "False"), ("Failed", "True")], "failed"),
    ],
)
def test_state_of_a_pytorchjob(conditions: list[tuple[str, str]], phase: str) -> None:
    listed = [{"type": kind, "status": status} for kind, status in conditions]
    job = {"kind": "PyTorchJob", "spec": {"runPolicy": {}}, "status": {"conditions": listed}}
    assert state_of(job).phase == phase
    job["spec"] = {"runPolicy": {"suspend": True}}
    assert state_of(job).phase == "suspended"


def test_the_last_step_that_the_supervisor_told() -> None:
    log = [
        "training from step 0 to 30 on cuda",
        "step 3/30  reward 0.512  CER 0.210  6.1 s/step  ETA 2:45",
        "checkpoint of step 3 published: 1.0 MB, 0.2 s",
    ]
    last = StepLine.last_of(log)
    assert last == StepLine(3, 30, "reward 0.512  CER 0.210  6.1 s/step  ETA 2:45")
    assert str(last) == log[1]
    assert StepLine.last_of(log[:1]) is None


def test_how_far_the_jobs_of_the_evaluation_are() -> None:
    def job(status: dict[str, Any], completions: int = 4) -> str:
        named = {"metadata": {"name": "ttsrl-eval"}, "spec": {"completions": completions}}
        return job_line({**named, "status": status})

    assert job({"succeeded": 2, "active": 2}) == "Job ttsrl-eval: 2 of 4 done, 2 running, 0 failed"
    assert job({"succeeded": 4}) == "Job ttsrl-eval: done"
    assert job({"active": 1, "failed": 1}, 1) == "Job ttsrl-eval: 1 running, 1 failed"
    ended = {"type": "Failed", "status": "True", "message": "deadline"}
    assert job({"conditions": [ended]}) == "Job ttsrl-eval: failed: deadline"


def test_progress_lines_are_those_that_training_prints(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The status reads what the supervisor writes."""
    (tmp_path / "steps.jsonl").write_text(to_line(step_of(3, reward=0.5, raw={"cer": 0.2})) + "\n")
    metrics = TrainMetrics(load_run(TINY_RUN), "cpu")
    metrics.start_s = 0.0
    Follower(tmp_path, metrics).look()
    last = StepLine.last_of(capsys.readouterr().out.splitlines())
    assert last
    assert (last.step, last.total) == (3, 24)
    assert last.note.startswith("reward 0.500  CER 0.200  tokens 20.0")


def test_a_status_names_the_policy_and_its_commit() -> None:
    log = ["waiting for the reward service", f"{POLICY}HKUSTAudio/Llasa-1B@4f2c8a1", "step 1/2  a"]
    state = state_of({"kind": "PyTorchJob", "status": {}})
    now = Status("Job train", state, [], step=StepLine.last_of(log), policy=policy_of(log))
    assert now.lines()[1:] == ["policy: HKUSTAudio/Llasa-1B@4f2c8a1", "step 1/2  a"]
    assert policy_of(["the policy: none", "step 1/2  a"]) == ""
    assert len(Status("Job train", state).lines()) == 1


RESERVED = {
    "type": "QuotaReserved",
    "status": "False",
    "message": "resource nvidia.com/gpu unavailable in ClusterQueue",
}


@pytest.mark.parametrize(
    ("owner", "conditions", "why"),
    [
        ("the job", [RESERVED], "resource nvidia.com/gpu unavailable in ClusterQueue"),
        ("another", [RESERVED], ""),
        ("the job", [{**RESERVED, "status": "True"}], ""),
        ("the job", [], ""),
    ],
)
def test_kueue_says_why_a_job_waits(owner: str, conditions: list[dict[str, str]], why: str) -> None:
    workloads = [
        {
            "metadata": {"ownerReferences": [{"uid": owner}]},
            "status": {"conditions": conditions},
        },
        {"metadata": {}},
    ]
    assert why_not_admitted({"metadata": {"uid": "the job"}}, workloads) == why
