"""Four runs of one release train through one pod of the reward service, as many at once as fit.

Two are RayJobs and two PyTorchJobs, which need less of the cores.
"""

from __future__ import annotations

import json

import pytest

from harness import Bucket, Namespace
from test_submit import Cli
from test_whole_job import ended, ending
from testbed.paths import REPOSITORY

CPU = REPOSITORY / "helm/values/cpu.yaml"
KINDS = {1: "rayjob", 2: "pytorchjob", 3: "rayjob", 4: "pytorchjob"}
"""By seed."""
TWO_STEPS = (
    "run.train.device=cpu,run.train.steps=2,run.train.save_every=2,run.train.prompts_per_step=12,"
    "run.eval.max_texts=8"
)


@pytest.mark.timeout(3000)
def test_a_sweep_trains_through_one_reward_pod(namespace: Namespace, bucket: Bucket) -> None:
    namespace.cluster.require_full()
    namespace.cluster.require_api("rayjobs.ray.io")
    namespace.cluster.require_api("pytorchjobs.kubeflow.org")
    namespace.install(*bucket.values, "-f", CPU, "--set", TWO_STEPS)
    cli = Cli(namespace)
    for seed, kind in KINDS.items():
        named = ("--name", f"seed{seed}", "--set", f"seed={seed}")
        cli.done("submit", "--kind", kind, *named)
    selector = "app.kubernetes.io/component=reward"
    [before] = namespace.list("pods", selector)
    for seed, kind in KINDS.items():
        name = f"ttsrl-seed{seed}-train"
        end = namespace.until(
            f"the end of {name}", lambda n=name, k=kind: end_of(namespace, k, n), 1200
        )
        assert end in ("Complete", "Succeeded"), namespace.describe()
    [after] = namespace.list("pods", selector)
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    for seed in KINDS:
        # the log of a pod that was made again says only that all is done
        assert "2 steps are done" in (said := cli.done("logs", "--run", f"seed{seed}")) or (
            "step 2/2" in said
        )
        assert bucket.object_names(f"runs/seed{seed}/checkpoints/step_000002/MANIFEST.json")
        steps = bucket.read(f"runs/seed{seed}/log/steps.jsonl").splitlines()
        assert [json.loads(line)["step"] for line in steps] == [1, 2]


def end_of(namespace: Namespace, kind: str, name: str) -> str:
    return ended(namespace, name) if kind == "rayjob" else ending(namespace, kind, name)
