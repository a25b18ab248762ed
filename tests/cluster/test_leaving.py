"""Pods of a run are asked to go, as by a drain: the step that is under way is saved first."""

from __future__ import annotations

import json
import re

import httpx
import pytest

from harness import Bucket, Namespace, manifests, on_cpus
from test_trouble import cluster_of
from test_whole_job import ended, install, rayjob
from testbed.node import NODE
from testbed.paths import REPOSITORY

STEPS = 40


@pytest.mark.timeout(3600)
def test_a_pod_of_ray_that_is_asked_to_go_saves_first(namespace: Namespace, bucket: Bucket) -> None:
    """First a worker, which asks the head, then the head. A budget can forbid both."""
    namespace.cluster.require_full()
    namespace.cluster.require_testbed("only node, which is drained")
    namespace.cluster.require_api("rayjobs.ray.io")
    # The last step's checkpoint alone is due: others are there because a pod was asked to go. So
    # many steps are more than the tiny policy has to learn, and a guard may stop them.
    run = f"run.train.steps={STEPS},run.train.save_every={STEPS},run.guards.built_in=false"
    install(namespace, bucket, "--set", f"{run},train.podDisruptionBudget.enabled=true")
    namespace.apply(on_cpus(manifests(REPOSITORY / "jobs/train")))
    until_step(namespace, 1)
    of_ray = f"ray.io/cluster={cluster_of(namespace)}"
    drain = ("drain", NODE, f"--pod-selector={of_ray}", "--delete-emptydir-data", "--timeout=20s")
    said = namespace.kubectl(*drain, check=False)
    namespace.kubectl("uncordon", NODE)
    assert "Cannot evict pod as it would violate the pod's disruption budget" in said
    with namespace.forwarded(f"service/{cluster_of(namespace)}-head-svc", 8265) as dashboard:
        command = {"entrypoint": "true"}  # whoever may send one runs any code
        assert httpx.post(f"{dashboard}/api/jobs/", json=command).status_code in (401, 403)

    saved: list[int] = []
    for kind in ("worker", "head"):
        until_step(namespace, sum(saved[-1:]) + 1)
        lost = cluster_of(namespace)
        selector = f"ray.io/cluster={lost},ray.io/node-type={kind}"
        namespace.kubectl("delete", "pod", "-l", selector, "--wait=false")
        was = list(saved)
        saved = namespace.until("a checkpoint", lambda was=was: newer(bucket, was), 600)
        assert saved[-1] < STEPS, f"the {kind} went when training had ended"
        namespace.until("another cluster", lambda lost=lost: is_another(namespace, lost), 600)

    end = namespace.until("the end of training", lambda: ended(namespace), 1200)
    assert (end, rayjob(namespace)["jobStatus"]) == ("Complete", "SUCCEEDED"), namespace.describe()
    assert checkpoints(bucket) == [*saved, STEPS]
    steps = [json.loads(line) for line in bucket.read("runs/ttsrl/log/steps.jsonl").splitlines()]
    assert [step["step"] for step in steps] == list(range(1, STEPS + 1))


def until_step(namespace: Namespace, step: int) -> None:
    """Until that step is done, and its job not."""

    def done() -> bool:
        said = namespace.kubectl("logs", "job/ttsrl-train", check=False)  # of the attempt that runs
        return any(int(found) >= step for found in re.findall(rf"step (\d+)/{STEPS}\b", said))

    namespace.until(f"step {step}", lambda: ended(namespace) or done(), 900)
    assert not ended(namespace), namespace.describe()


def checkpoints(bucket: Bucket) -> list[int]:
    """Steps of those that are whole."""
    prefix = "runs/ttsrl/checkpoints/step_"
    names = bucket.object_names(prefix)
    whole = [name for name in names if name.endswith("/MANIFEST.json")]
    return sorted(int(name.removeprefix(prefix).partition("/")[0]) for name in whole)


def newer(bucket: Bucket, was: list[int]) -> list[int]:
    """All checkpoints, once there are more than those."""
    now = checkpoints(bucket)
    return now if len(now) > len(was) else []


def is_another(namespace: Namespace, lost: str) -> bool:
    """Whether the job has gone on to another cluster, or has ended."""
    return bool(ended(namespace)) or rayjob(namespace).get("rayClusterName", lost) != lost
