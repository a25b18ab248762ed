"""No replica of the reward service while nothing runs; one that is warm before training starts.

The real KEDA, Prometheus and KubeRay; training is the tiny stack's, for two steps.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from harness import Bucket, Namespace
from test_submit import Cli
from test_sweep import CPU, TWO_STEPS
from test_whole_job import ended
from testbed import operators

REWARD = "app.kubernetes.io/component=reward"


def zero() -> dict[str, Any]:
    keda = {
        "enabled": True,
        "serverAddress": operators.prometheus_url(),
        "pollingInterval": 2,
        "cooldownPeriod": 15,
    }
    return {"reward": {"autoscaling": {"minReplicas": 0, "maxReplicas": 1, "keda": keda}}}


@pytest.mark.timeout(2400)
def test_rewards_sleep_while_nothing_runs_and_are_warm_before_training_starts(
    namespace: Namespace, bucket: Bucket, tmp_path: Path
) -> None:
    namespace.cluster.require_full()
    namespace.cluster.require_testbed("Prometheus")
    namespace.cluster.require_api("scaledobjects.keda.sh")
    values = tmp_path / "values.yaml"
    values.write_text(yaml.safe_dump(zero()))
    namespace.install(*bucket.values, "-f", CPU, "-f", values, "--set", TWO_STEPS)
    ready = ("wait", "scaledobject/ttsrl-reward", "--for=condition=Ready", "--timeout=180s")
    namespace.kubectl(*ready)
    namespace.until("no replica", lambda: namespace.list("pods", REWARD) == [], 300)

    cli = Cli(namespace)
    assert "training waits for it" in cli.done("doctor", "--cluster", "--json")
    cli.done("submit")
    namespace.until("a replica", lambda: namespace.list("pods", REWARD), 300)
    assert namespace.until("the end", lambda: ended(namespace), 900) == "Complete"
    assert "step 2/2" in cli.done("logs")
    # Whatever ran has ended: its pods that remain ask for nothing.
    namespace.until("no replica again", lambda: namespace.list("pods", REWARD) == [], 300)

    assert namespace.helm("test", "ttsrl").count("Succeeded") == 3  # each test wakes one, too
