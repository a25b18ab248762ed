"""A run that a guard stops ends for good, whichever operator runs it: exit code 3 is an end."""

from __future__ import annotations

import json

import pytest

from harness import Bucket, Namespace, manifests, on_cpus
from test_submit import Cli
from test_whole_job import ending, install
from testbed.paths import REPOSITORY

ADVICE = "as the test wants it"
# Trips at the first step after the base, whatever the policy does.
ENOUGH = {
    "name": "enough",
    "when": [{"measure": "learning_rate", "above": -1.0}],
    "in_a_row": 1,
    "then": "stop",
    "advice": ADVICE,
}
SAID = "guard enough at step 2: learning_rate is"
APIS = {
    "pytorchjob": "pytorchjobs.kubeflow.org",
    "trainjob": "trainjobs.trainer.kubeflow.org",
}


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("kind", APIS)
def test_a_run_that_a_guard_stops_ends_once_and_status_says_why(
    kind: str, namespace: Namespace, bucket: Bucket
) -> None:
    namespace.cluster.require_full()
    namespace.cluster.require_api(APIS[kind])
    values = str(REPOSITORY / "helm/values/cpu.yaml")
    small = ("--set", "run.train.prompts_per_step=4")
    stopped = ("--set-json", f"run.guards={json.dumps(guards())}")
    install(namespace, bucket, "-f", values, *small, *stopped)
    namespace.apply(on_cpus(manifests(REPOSITORY / "jobs/train" / kind)))
    end = namespace.until("the end of the job", lambda: ending(namespace, kind, "ttsrl-train"), 900)
    assert end == "Failed", namespace.describe()

    status = Cli(namespace).done("status")
    assert "ttsrl-train: stopped by a guard: it is not retried" in status
    assert SAID in status
    assert ADVICE in Cli(namespace).done("logs")

    # one pod, started once
    [pod] = namespace.list("pods", "app.kubernetes.io/component=train")
    [ran] = pod["status"]["containerStatuses"]
    assert ran["restartCount"] == 0, namespace.describe()
    assert ran["state"]["terminated"]["exitCode"] == 3, namespace.describe()

    # the step at which it was stopped is published, and no other follows
    done = [json.loads(line) for line in bucket.read("runs/ttsrl/log/steps.jsonl").splitlines()]
    last = done[-1]["step"]
    assert 2 <= last < 8
    names = bucket.object_names(f"runs/ttsrl/checkpoints/step_{last:06d}/")
    assert any(name.endswith("/MANIFEST.json") for name in names)
    tripped = [json.loads(line) for line in bucket.read("runs/ttsrl/log/guards.jsonl").splitlines()]
    assert {event["guard"] for event in tripped} == {"enough"}


def guards() -> dict[str, object]:
    """Those of the run: none but that one, judged from the second step on."""
    return {"built_in": False, "base_steps": 1, "audit": "off", "rules": [ENOUGH]}
