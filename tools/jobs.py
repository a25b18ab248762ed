"""Writes jobs/: the chart's jobs, as it renders them for a release ttsrl with its defaults.

    python -m tools.jobs

What stands there is for who uses kubectl alone. `ttsrl submit` creates the same from the release.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import helm_python as helm
import yaml

from ttsrl.kube.manifests import Template, fill
from ttsrl.kube.names import Names

ROOT = Path(__file__).parents[1]
WRITTEN = "Written by `python -m tools.jobs` from helm/templates/jobs; change it there."

FILES: Mapping[str, tuple[str, tuple[Template | Literal["verifyjob"], ...]]] = {
    "train/rayjob.yaml": (
        """\
Trains the run of a Helm release named ttsrl, in the current namespace:

  kubectl apply -f jobs/train

Applied a second time it changes nothing, whether it runs or has ended. To start it again, delete
it first (kubectl delete -f jobs/train): it continues from the newest published checkpoint, and says
so where every step is done. Its pods read the release's run as it is when they start: delete it
before you upgrade the release to another run, which a later attempt would refuse. With other values
than the chart's: `ttsrl submit`, or `ttsrl submit --print`.""",
        ("rayjob",),
    ),
    "train/pytorchjob/pytorchjob.yaml": (
        """\
Trains the run of a Helm release named ttsrl on one node, without KubeRay:

  kubectl apply -f jobs/train/pytorchjob

The end of one pod is the end of all: each is then made again, they meet anew, and training
continues from the last published checkpoint. A run that a guard stopped (exit code 3), and one that
is wrong (2), ends the job as Failed at once. Applied a second time this changes nothing; delete it
first to start it again.""",
        ("pytorchjob",),
    ),
    "train/trainjob/trainjob.yaml": (
        """\
Trains the run of a Helm release named ttsrl with Kubeflow Trainer 2: a runtime, and the job
that uses it.

  kubectl apply -f jobs/train/trainjob

The end of one pod is the end of all: the JobSet beneath the job starts them again, they meet
anew, and training continues from the last published checkpoint. A run that a guard stopped (exit
code 3), and one that is wrong (2), ends the job as Failed at once.""",
        ("trainingruntime", "trainjob"),
    ),
    "follow/follow-job.yaml": (
        """\
Evaluates the checkpoints of the release's run while it trains, where the run has
eval.during_training: one pod that follows storage. Results lie in storage, in
runs/NAME/eval/held_out.during/step_N/.

  kubectl apply -f jobs/follow     beside jobs/train; `ttsrl submit` creates both

Killed at any moment, the next pod continues: a checkpoint that is evaluated is not evaluated again.
It ends once the last step's checkpoint is evaluated, or when training has written no step for
four hours.""",
        ("followjob",),
    ),
    "eval/merge-job.yaml": (
        """\
Merges the last checkpoint of the release's run into a Hugging Face folder and publishes it. It
waits for that checkpoint; a model that is published already is left as it is.""",
        ("mergejob",),
    ),
    "eval/eval-job.yaml": (
        """\
Evaluates the release's run: its policy before training and its merged model, in shards of the
held-out texts; then one pod puts the shards together. Results lie in storage, in
runs/NAME/eval/held_out/step_N/, and best.json points to the best model.

  kubectl apply -f jobs/eval     merge, shards and reduce: each waits in storage for what it needs

A shard that is done is not done again, by a restarted pod or by a new job. Applied a second time
it changes nothing while these jobs exist; a day after their end they are gone, and the next apply
finds everything done.""",
        ("shardsjob", "reducejob"),
    ),
    "eval/jobset/jobset.yaml": (
        """\
Merge, shards and reduce as one object, for clusters with JobSet: each begins when the one before is
complete, so that no pod holds a GPU while it waits. The pods are those of jobs/eval.

  kubectl apply -f jobs/eval/jobset""",
        ("jobset",),
    ),
    "verify/job.yaml": (
        """\
What `skaffold verify` runs: of each check, which are those of `helm test`, its container alone.""",
        ("verifyjob",),
    ),
}
"""File in jobs/ -> what it is for, and the jobs in it."""


def rendered() -> dict[str, str]:
    """File in jobs/ -> its text."""
    with helm.Chart.load(ROOT / "helm") as chart:
        given = chart.render({"run": {"storage": "s3://bucket"}}, name="ttsrl", namespace="default")
    data = yaml.safe_load(given["ttsrl/templates/jobs.yaml"])["data"]
    release = json.loads(data["release.json"])
    names = Names("ttsrl", release["fullname"], release["run"]["name"])
    config_map = release["run"]["configMap"]
    return {
        file: _head(words)
        + "---\n".join(fill(data[f"{job}.yaml"], names, config_map).rstrip() + "\n" for job in jobs)
        for file, (words, jobs) in FILES.items()
    }


def _head(words: str) -> str:
    return "".join(f"# {line}".rstrip() + "\n" for line in [*words.splitlines(), "", WRITTEN])


def main() -> None:
    """Write every file."""
    for file, text in rendered().items():
        path = ROOT / "jobs" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    main()
