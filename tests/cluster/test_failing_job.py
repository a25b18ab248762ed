"""A training that cannot begin."""

from __future__ import annotations

import pytest

from harness import Bucket, Namespace, manifests, on_cpus
from test_submit import Cli
from test_whole_job import ended, install, rayjob
from testbed.paths import REPOSITORY


@pytest.mark.timeout(900)
def test_a_run_that_cannot_begin_is_not_retried_and_leaves_no_pod(
    namespace: Namespace, bucket: Bucket
) -> None:
    namespace.cluster.require_full()
    namespace.cluster.require_api("rayjobs.ray.io")
    install(namespace, bucket, "--set", "reward.enabled=false,run.model=/app/none")
    [job] = on_cpus(manifests(REPOSITORY / "jobs/train"))
    job["spec"] |= {"backoffLimit": 1, "ttlSecondsAfterFinished": 20}
    namespace.apply([job])
    end = namespace.until("the end of training", lambda: ended(namespace), 600)
    # KubeRay tries a failed job again, and only a failed one: this one has stopped itself
    status = rayjob(namespace)
    assert (end, status["jobStatus"], status["failed"]) == ("Complete", "STOPPED", 0)
    assert "for bad input" in Cli(namespace).done("status")
    gone = "ray.io/node-type in (head,worker)"
    namespace.until("no pods of Ray", lambda: not namespace.list("pods", gone), 420)
