"""Merge, shards and reduce as one JobSet: each begins when the one before is complete."""

from __future__ import annotations

from datetime import datetime

import pytest

from harness import Bucket, Namespace, manifests, on_cpus
from test_whole_job import JOBS, ended, ending, install, judged


@pytest.mark.timeout(1500)
def test_evaluation_as_one_object_runs_in_its_order(namespace: Namespace, bucket: Bucket) -> None:
    namespace.cluster.require_api("rayjobs.ray.io")
    namespace.cluster.require_api("jobsets.jobset.x-k8s.io")
    install(namespace, bucket)
    namespace.apply(on_cpus(manifests(JOBS / "train")))
    namespace.until("the end of training", lambda: ended(namespace) == "Complete", 900)
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
