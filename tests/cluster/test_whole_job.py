"""The whole job of the tiny stack: rewards in the cluster, Ray, merge, evaluation, pull."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from bed.paths import REPOSITORY
from harness import Bucket, Manifest, Namespace, manifests, on_cpus

JOBS = REPOSITORY / "jobs"
# As much training as shows: 8 updates of a third of the quickstart's rollouts.
FEW_STEPS = (
    "run.train.steps=8,run.train.save_every=4,run.train.prompts_per_step=12,"
    "run.eval.max_texts=40,run.train.micro_batch_size=48"
)


def install(namespace: Namespace, bucket: Bucket, *more: str) -> None:
    namespace.install(*bucket.values, "--set", FEW_STEPS, *more)


def rayjob(namespace: Namespace) -> Manifest:
    """The status of the run's RayJob, empty before the operator saw it."""
    return (namespace.get("rayjob", "ttsrl-train") or {}).get("status", {})


def ended(namespace: Namespace) -> str:
    """`Complete` or `Failed` once the RayJob ended; its jobStatus alone can be stale."""
    status = rayjob(namespace).get("jobDeploymentStatus", "")
    return status if status in ("Complete", "Failed") else ""


def job_ended(namespace: Namespace, name: str) -> str:
    """Type of the condition that ends a Job."""
    job = namespace.get("job", name) or {}
    for condition in job.get("status", {}).get("conditions", []):
        if condition["type"] in ("Complete", "Failed") and condition["status"] == "True":
            return condition["type"]
    return ""


@pytest.mark.timeout(1500)
def test_a_policy_is_trained_on_ray_merged_evaluated_and_pulled_and_speaks_better(
    namespace: Namespace, bucket: Bucket, tmp_path: Path
):
    namespace.cluster.require_api("rayjobs.ray.io")
    install(namespace, bucket)
    namespace.apply(on_cpus(manifests(JOBS / "train")))
    end = namespace.until("the end of training", lambda: ended(namespace), 900)
    assert (end, rayjob(namespace)["jobStatus"]) == ("Complete", "SUCCEEDED")

    namespace.apply(on_cpus(manifests(JOBS / "eval")))
    for job in ("ttsrl-merge", "ttsrl-eval", "ttsrl-eval-reduce"):
        end = namespace.until(f"the end of {job}", lambda job=job: job_ended(namespace, job), 600)
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

    best = json.loads(object_named(bucket, "best.json"))["scores"]
    assert best["cer"] < best["cer_before"], best
    assert best["cer_change_high"] < 0, best  # the whole interval: no luck


def object_named(bucket: Bucket, name: str) -> str:
    """The text of the one object of that name."""
    (key,) = (key for key in bucket.object_names() if key.endswith(f"/{name}"))
    return bucket.client().get_object(Bucket=bucket.name, Key=key)["Body"].read().decode()
