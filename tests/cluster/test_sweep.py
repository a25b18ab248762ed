"""Four runs of one release train through one pod of the reward service, as many at once as fit."""

from __future__ import annotations

import pytest

from harness import Bucket, Namespace
from test_submit import Cli
from test_whole_job import ended
from testbed.paths import REPOSITORY

CPU = REPOSITORY / "helm/values/cpu.yaml"
SEEDS = (1, 2, 3, 4)
TWO_STEPS = "run.train.device=cpu,run.train.steps=2,run.train.save_every=2,run.eval.max_texts=8"


@pytest.mark.timeout(3000)
def test_a_sweep_trains_through_one_reward_pod(namespace: Namespace, bucket: Bucket) -> None:
    namespace.cluster.require_full()
    namespace.cluster.require_api("rayjobs.ray.io")
    small = f"{TWO_STEPS},train.resources.requests.cpu=100m"
    namespace.install(*bucket.values, "-f", CPU, "--set", small)
    cli = Cli(namespace)
    for seed in SEEDS:
        cli.done("submit", "--name", f"seed{seed}", "--set", f"seed={seed}")
    selector = "app.kubernetes.io/component=reward"
    [before] = namespace.list("pods", selector)
    for seed in SEEDS:
        name = f"ttsrl-seed{seed}-train"
        end = namespace.until(f"the end of {name}", lambda n=name: ended(namespace, n), 1200)
        assert end == "Complete", namespace.describe()
    [after] = namespace.list("pods", selector)
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    for seed in SEEDS:
        assert "step 2/2" in cli.done("logs", "--run", f"seed{seed}")
        assert bucket.object_names(f"runs/seed{seed}/checkpoints/step_000002/MANIFEST.json")
