"""A machine is lost with all that runs on it: the trainer goes on elsewhere, rewards never stop."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from harness import Bucket, ClusterUnderTest, Namespace, manifests, on_cpus
from load import load
from test_disruption import is_ready
from test_trouble import cluster_of, until_published
from test_whole_job import ended, install, rayjob
from testbed import second
from testbed.images import ttsrl_image
from testbed.node import NODE, SECOND, TAINT
from testbed.paths import REPOSITORY

REWARD = "app.kubernetes.io/component=reward"
STEPS = 24
TOLERATIONS = [{"key": TAINT, "operator": "Exists"}]


@pytest.fixture
def second_machine(cluster: ClusterUnderTest) -> Iterator[None]:
    cluster.require_full()
    cluster.require_testbed("second machine, which can be lost")
    second.up([ttsrl_image("reward"), ttsrl_image("train")])
    yield
    second.lose()
    second.forget()


@pytest.mark.timeout(2400)
@pytest.mark.usefixtures("second_machine")
def test_training_goes_on_and_rewards_are_given_when_a_machine_is_lost(
    namespace: Namespace, bucket: Bucket
) -> None:
    # A busy machine takes as long as some steps to start the load: there are steps left then, which
    # is more than the tiny policy has to learn, and a guard may stop it.
    run = f"run.train.steps={STEPS},run.train.save_every=2,run.guards.built_in=false"
    tolerations = ("--set-json", f"reward.tolerations={json.dumps(TOLERATIONS)}")
    install(namespace, bucket, "--set", f"reward.replicas=2,{run}", *tolerations)
    assert machines(namespace, REWARD) == {NODE, SECOND.name}  # spread
    jobs = on_cpus(manifests(REPOSITORY / "jobs/train"))
    [workers] = jobs[0]["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    prefer(workers["template"]["spec"], SECOND.name)
    namespace.apply(jobs)
    until_published(namespace, bucket, 2)
    lost = cluster_of(namespace)
    worker = f"ray.io/cluster={lost},ray.io/node-type=worker"
    assert machines(namespace, worker) == {SECOND.name}

    with load(namespace, at_once=2, machine=NODE) as work:
        assert not ended(namespace), namespace.describe()
        second.lose()
        namespace.until("a replica that answers", lambda: any_ready(namespace, NODE), 60)
        # as a cloud's controller does with an instance that is gone, and an owner of machines
        namespace.kubectl("delete", "node", SECOND.name)
        end = namespace.until("the end of training", lambda: ended(namespace), 1200)
        work.stop()
    assert work.scored > 0
    assert (work.failed, work.wrong) == ({}, 0)
    status = rayjob(namespace)
    assert (end, status["jobStatus"]) == ("Complete", "SUCCEEDED"), namespace.describe()
    # An end that a busy KubeRay did not see is followed by an attempt with nothing to do.
    assert status["failed"] in (1, 2)
    assert status["rayClusterName"] != lost
    steps = [json.loads(line) for line in bucket.read("runs/ttsrl/log/steps.jsonl").splitlines()]
    assert [step["step"] for step in steps] == list(range(1, STEPS + 1))
    assert all(step["failed_share"] == 0 for step in steps)


def prefer(pod: dict[str, Any], machine: str) -> None:
    """That machine as long as it is there, else another."""
    pod["tolerations"] = TOLERATIONS
    wanted = {"key": "kubernetes.io/hostname", "operator": "In", "values": [machine]}
    preferred = {"weight": 100, "preference": {"matchExpressions": [wanted]}}
    pod["affinity"] = {
        "nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [preferred]}
    }


def machines(namespace: Namespace, selector: str) -> set[str]:
    return {pod["spec"]["nodeName"] for pod in namespace.list("pods", selector)}


def any_ready(namespace: Namespace, machine: str) -> bool:
    """Whether a replica on that machine takes requests."""
    pods = namespace.list("pods", REWARD)
    return any(is_ready(pod) for pod in pods if pod["spec"].get("nodeName") == machine)
