"""The whole job of the tiny stack: rewards in the cluster, Ray, merge, evaluation, pull."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from harness import Bucket, Manifest, Namespace, manifests, on_cpus
from support.mlflow_server import free_port, mlflow_server
from test_submit import Cli
from testbed.node import address
from testbed.paths import REPOSITORY

JOBS = REPOSITORY / "jobs"
# As much training as shows: 8 updates of a third of the quickstart's rollouts.
FEW_STEPS = (
    "run.train.device=cpu,run.train.steps=8,run.train.save_every=4,run.train.prompts_per_step=12,"
    "run.eval.max_texts=40"
)


FOLLOW = "app.kubernetes.io/component=follow"


def during(bucket: Bucket) -> set[int]:
    """Steps whose evaluation beside training is whole."""
    prefix = "runs/ttsrl/eval/held_out.during/step_"
    names = bucket.object_names(prefix)
    whole = [name for name in names if name.endswith("/MANIFEST.json")]
    return {int(name.removeprefix(prefix).partition("/")[0]) for name in whole}


def tracked(server: str, figure: str = "train/step") -> list[int]:
    """Steps of which the tracker has a figure; a step that it was told twice is there twice."""
    client = MlflowClient(server)
    experiment = client.get_experiment_by_name("ttsrl")
    runs = client.search_runs([experiment.experiment_id]) if experiment else []
    history = [client.get_metric_history(run.info.run_id, figure) for run in runs]
    return sorted(one.step for figures in history for one in figures)


def install(namespace: Namespace, bucket: Bucket, *more: str) -> None:
    namespace.install(*bucket.values, "--set", FEW_STEPS, *more)


def rayjob(namespace: Namespace, name: str = "ttsrl-train") -> Manifest:
    """The status of a run's RayJob, empty before the operator saw it."""
    return (namespace.get("rayjob", name) or {}).get("status", {})


def ended(namespace: Namespace, name: str = "ttsrl-train") -> str:
    """`Complete` or `Failed` once the RayJob ended; its jobStatus alone can be stale."""
    status = rayjob(namespace, name).get("jobDeploymentStatus", "")
    return status if status in ("Complete", "Failed") else ""


def ending(namespace: Namespace, kind: str, name: str) -> str:
    """Type of the condition that ends a Job, JobSet or PyTorchJob, once there is one."""
    job = namespace.get(kind, name) or {}
    for condition in job.get("status", {}).get("conditions") or []:
        ends = condition["type"] in ("Complete", "Completed", "Succeeded", "Failed")
        if ends and condition["status"] == "True":
            return condition["type"]
    return ""


@pytest.mark.timeout(1500)
def test_a_policy_is_trained_on_ray_merged_evaluated_and_pulled_and_speaks_better(
    namespace: Namespace, bucket: Bucket, tmp_path: Path
) -> None:
    """The pod that evaluates beside training is killed meanwhile, and the tracker's server, too."""
    namespace.cluster.require_testbed("network, in which pods reach this machine")
    namespace.cluster.require_api("rayjobs.ray.io")
    mlflow = (tmp_path / "mlflow", free_port(), address())
    tracker = {"type": "mlflow", "address": f"http://{mlflow[2]}:{mlflow[1]}"}
    given = ("--set-json", f"run.trackers={json.dumps([tracker])}")
    install(namespace, bucket, "--set", "run.eval.during_training.texts=8", *given)
    with mlflow_server(*mlflow) as server:
        namespace.apply_as_users_do(on_cpus(manifests(JOBS / "train")))
        namespace.apply_as_users_do(on_cpus(manifests(JOBS / "follow")))
        namespace.until("the evaluation of the base", lambda: during(bucket) >= {0}, 600)
        namespace.kubectl("delete", "pod", "-l", FOLLOW, "--grace-period=0", "--force")
        namespace.until("a step in the tracker", lambda: tracked(server), 600)
    told = tracked(f"sqlite:///{mlflow[0]}/mlflow.db")  # also what came before the kill
    assert told[-1] < 8, "the server outlived the training"
    end = namespace.until("the end of training", lambda: ended(namespace), 900)
    assert (end, rayjob(namespace)["jobStatus"]) == ("Complete", "SUCCEEDED")
    told_to_a_user(namespace)
    logs = Cli(namespace).done("logs")
    assert "tracker mlflow is behind, training continues" in logs
    assert f"tracker mlflow has the run up to step {told[-1]}" in logs
    end = namespace.until("its evaluation", lambda: ending(namespace, "job", "ttsrl-follow"), 600)
    assert (end, during(bucket)) == ("Complete", {0, 4, 8}), namespace.describe()
    assert "evaluated step 8: CER" in Cli(namespace).done("status")

    status = rayjob(namespace)
    namespace.apply_as_users_do(
        on_cpus(manifests(JOBS / "train"))
    )  # once more: nothing begins again
    with mlflow_server(*mlflow) as server:  # back: the job that puts evaluations together tells it
        evaluate_and_pull(namespace, bucket, tmp_path)
        assert tracked(server) == list(range(1, 9))
        assert tracked(server, "eval/held_out.during/sampled/cer/judge") == [0, 4, 8]
        assert tracked(server, "eval/held_out/sampled/cer/judge") == [0, 8]
    assert rayjob(namespace) == status


@pytest.mark.timeout(1500)
def test_the_same_is_done_by_a_pytorchjob_where_there_is_no_kuberay(
    namespace: Namespace, bucket: Bucket, tmp_path: Path
) -> None:
    namespace.cluster.require_full()
    namespace.cluster.require_api("pytorchjobs.kubeflow.org")
    install(namespace, bucket)
    namespace.apply(on_cpus(manifests(JOBS / "train/pytorchjob", "PyTorchJob")))
    end = namespace.until(
        "the end of training", lambda: ending(namespace, "pytorchjob", "ttsrl-train"), 900
    )
    assert end == "Succeeded", namespace.describe()
    told_to_a_user(namespace)
    [log] = [name for name in bucket.object_names("runs/ttsrl/log/") if name.endswith("/verl.log")]
    assert "imports its own modules" not in bucket.read(log), "verl's processes were not forked"
    evaluate_and_pull(namespace, bucket, tmp_path)


def told_to_a_user(namespace: Namespace) -> None:
    """`ttsrl status` and `logs` of a job that is done."""
    cli = Cli(namespace)
    assert "ttsrl-train: done" in cli.done("status")
    # An end that a busy KubeRay did not see is followed by an attempt with nothing to do.
    logs = cli.done("logs")
    assert "step 8/8" in logs or "all 8 steps are done and published" in logs


def evaluate_and_pull(namespace: Namespace, bucket: Bucket, tmp_path: Path) -> None:
    """`kubectl apply -f jobs/eval`, then `ttsrl pull`; the model speaks better than before."""
    namespace.apply(on_cpus(manifests(JOBS / "eval")))
    for job in ("ttsrl-merge", "ttsrl-eval", "ttsrl-eval-reduce"):
        end = namespace.until(
            f"the end of {job}", lambda job=job: ending(namespace, "job", job), 600
        )
        assert end == "Complete", namespace.describe()

    credentials = tmp_path / "credentials"
    credentials.write_text(bucket.credentials())
    model = tmp_path / "model"
    address = f"{bucket.url}/runs/ttsrl"
    pulled = subprocess.run(
        [Path(sys.executable).with_name("ttsrl"), "pull", address, "--to", model],
        env={
            **os.environ,
            "AWS_ENDPOINT_URL": bucket.endpoint,
            "AWS_SHARED_CREDENTIALS_FILE": str(credentials),
            "AWS_REGION": "us-east-1",
        },
        capture_output=True,
        text=True,
    )
    assert pulled.returncode == 0, pulled.stderr
    assert (model / "config.json").exists()

    best = judged(bucket)
    assert best["cer"] < best["cer_before"], best
    assert best["cer_change_high"] < 0, best  # the whole interval: no luck


def judged(bucket: Bucket) -> dict[str, float]:
    """What the judges heard of the best model, and of the policy before training."""
    return json.loads(bucket.read("runs/ttsrl/best.json"))["scores"]
