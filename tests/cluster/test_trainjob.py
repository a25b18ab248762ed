"""Training as a TrainJob of Kubeflow Trainer 2, then evaluation as a JobSet, by real operators."""

from __future__ import annotations

from datetime import datetime

import pytest

from harness import Bucket, Namespace, manifests, on_cpus
from test_submit import Cli
from test_whole_job import JOBS, ending, install, judged, told_to_a_user
from testbed.paths import REPOSITORY

CPU = str(REPOSITORY / "helm/values/cpu.yaml")


@pytest.mark.timeout(1500)
def test_a_submitted_trainjob_trains_to_its_end_and_evaluation_as_one_object_runs_in_its_order(
    namespace: Namespace, bucket: Bucket
) -> None:
    """Merge, shards and reduce: each begins when the one before is complete."""
    namespace.cluster.require_full()
    namespace.cluster.require_api("jobsets.jobset.x-k8s.io")
    namespace.cluster.require_api("trainjobs.trainer.kubeflow.org")
    install(namespace, bucket, "-f", CPU)
    assert "ttsrl-train created" in Cli(namespace).done("submit", "--kind", "trainjob")
    end = namespace.until(
        "the end of training", lambda: ending(namespace, "trainjob", "ttsrl-train"), 900
    )
    assert end == "Complete", namespace.describe()
    told_to_a_user(namespace)
    assert any(
        name.startswith("runs/ttsrl/checkpoints/step_000008/") for name in bucket.object_names()
    )

    namespace.apply(on_cpus(manifests(JOBS / "eval/jobset")))
    end = namespace.until(
        "the end of evaluation", lambda: ending(namespace, "jobset", "ttsrl-eval"), 600
    )
    assert end == "Completed", namespace.describe()

    jobs = [
        namespace.existing("job", f"ttsrl-eval-{part}-0") for part in ("merge", "shards", "reduce")
    ]
    began = [moment(job["status"]["startTime"]) for job in jobs]
    complete = [moment(job["status"]["completionTime"]) for job in jobs]
    assert complete[0] <= began[1] and complete[1] <= began[2]
    assert jobs[1]["status"]["succeeded"] == 4
    assert judged(bucket)["cer"] < judged(bucket)["cer_before"]


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.timeout(900)
def test_a_trainjob_that_cannot_begin_fails_once_and_leaves_no_pod_that_runs(
    namespace: Namespace, bucket: Bucket
) -> None:
    """Exit code 2 is an end: no restart would find the model."""
    namespace.cluster.require_full()
    namespace.cluster.require_api("trainjobs.trainer.kubeflow.org")
    install(namespace, bucket, "-f", CPU, "--set", "reward.enabled=false,run.model=/app/none")
    namespace.apply(on_cpus(manifests(JOBS / "train/trainjob")))
    end = namespace.until(
        "the end of the job", lambda: ending(namespace, "trainjob", "ttsrl-train"), 600
    )
    assert end == "Failed", namespace.describe()
    assert "/app/none" in Cli(namespace).done("logs")
    jobset = namespace.existing("jobset", "ttsrl-train")
    assert jobset["status"].get("restarts", 0) == 0
    pods = namespace.list("pods", "app.kubernetes.io/component=train")
    assert all(pod["status"]["phase"] == "Failed" for pod in pods), namespace.describe()
