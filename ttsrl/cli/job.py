"""What the pods of jobs/ and of the Helm chart run: in the foreground, plain lines as output."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ttsrl.cli.command import Config, command
from ttsrl.errors import BadInput

MERGE = "--config /etc/ttsrl/run.json --merged /merged"
POD = "--config /etc/ttsrl/run.json --work-dir /tmp/ttsrl"

commands = typer.Typer(
    help="What the pods of a cluster run; you need none of it. See submit.",
    epilog=f"Example: ttsrl job train {POD}",
    no_args_is_help=True,
)

JobFolder = Annotated[
    Path, typer.Option("--work-dir", metavar="DIR", help="Local folder to work in.")
]
Shards = Annotated[int, typer.Option("--of", metavar="N", min=1, help="Number of shards.")]
MaxStarts = Annotated[
    int, typer.Option("--max-starts", min=1, help="Starts in a row without a new checkpoint.")
]
RunOfJob = Annotated[
    str | None,
    typer.Option("--run", metavar="NAME", help="The run that the job is for; no other is trained."),
]
ModelStep = Annotated[
    int | None, typer.Option("--step", help="Step of the model; default: the run's last.")
]
Suite = Annotated[
    str | None,
    typer.Option("--suite", help="held_out, or one of eval.suites; default: all of them."),
]
EvaluationName = Annotated[
    str | None, typer.Option("--as", help="Name below eval/; default: that of the suite.")
]
Wait = Annotated[
    float, typer.Option("--wait-s", help="Seconds to wait for what other jobs publish.")
]


class ReleaseCheck(StrEnum):
    """What of a release can be checked."""

    score = "score"
    storage = "storage"
    metrics = "metrics"


@command(commands, f"ttsrl job train {POD}")
def train(
    config: Config, work_dir: JobFolder, max_starts: MaxStarts = 6, run: RunOfJob = None
) -> None:
    """Train a run, or resume it, in the Ray cluster of RAY_ADDRESS or in one of this machine.

    Exit code 0: every step is done and published. 3: a guard of the run has ended it. Any other:
    the same command resumes from the last published checkpoint.
    """
    from ttsrl.training.ray_driver import drive

    _refuse_another_run(config, run)
    drive(config, work_dir, max_starts)


@command(commands, "ttsrl job leave --work-dir /tmp/ttsrl")
def leave(
    work_dir: JobFolder,
    worker: Annotated[
        bool, typer.Option("--worker", help="Ask the head of this worker's Ray cluster.")
    ] = False,
    grace_s: Annotated[
        float, typer.Option("--grace-s", help="Seconds to wait for the end of training.")
    ] = 45.0,
) -> None:
    """Have the training of a RayJob save and end, before its pod goes."""
    from ttsrl.training.leaving import ask_head, leave

    print(ask_head(work_dir, grace_s) if worker else leave(work_dir, grace_s))


@command(commands, f"ttsrl job pytorchjob {POD}")
def pytorchjob(
    config: Config,
    work_dir: JobFolder,
    ray_port: Annotated[
        int, typer.Option(help="Port of the Ray head, which rank 0 starts.")
    ] = 6379,
    max_starts: MaxStarts = 6,
    run: RunOfJob = None,
) -> int:
    """Train as one pod of a PyTorchJob or TrainJob; the end of one pod is the end of all.

    Exit code 138 asks the operator for another start.
    """
    from ttsrl.training.pytorchjob import take_part

    _refuse_another_run(config, run)
    return take_part(config, work_dir, ray_port, max_starts)


@command(commands, f"ttsrl job merge {POD} --wait-s 7200")
def merge(
    config: Config,
    work_dir: JobFolder,
    step: Annotated[int | None, typer.Option(help="Step to merge; default: the newest.")] = None,
    wait_s: Annotated[
        float | None,
        typer.Option(help="Seconds to wait for the step's checkpoint; default step: the last."),
    ] = None,
) -> None:
    """Turn a published checkpoint into a Hugging Face folder and publish it."""
    from ttsrl.evaluation.merge import merge_run

    merge_run(config, work_dir, step, wait_s)


@command(commands, f"ttsrl job follow {POD} --merged /merged")
def follow(
    config: Config,
    work_dir: JobFolder,
    merged: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder in which `ttsrl job merge-wanted` merges; default: merge here.",
        ),
    ] = None,
    idle_s: Annotated[
        float, typer.Option(help="End where training writes no step for so many seconds.")
    ] = 14_400.0,
) -> None:
    """Evaluate the run's checkpoints as they are published, until its last one."""
    from ttsrl.evaluation.during.follow import follow_in_pod

    follow_in_pod(config, work_dir.absolute(), merged, idle_s)


@command(commands, f"ttsrl job merge-wanted {MERGE}", name="merge-wanted")
def merge_wanted(
    config: Config,
    merged: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder that `ttsrl job follow` has, too.")
    ],
) -> None:
    """Merge the checkpoints that `ttsrl job follow` asks for, until this is ended."""
    from ttsrl.evaluation.during.models import merge_what_is_wanted

    merge_what_is_wanted(config, merged)


@command(commands, f"ttsrl job eval-shard {POD} --of 4 --index 0", name="eval-shard")
def eval_shard(
    config: Config,
    work_dir: JobFolder,
    of: Shards,
    index: Annotated[
        int | None, typer.Option(help="Which shard, from 0; default: JOB_COMPLETION_INDEX.")
    ] = None,
    step: ModelStep = None,
    suite: Suite = None,
    name: EvaluationName = None,
    wait_s: Wait = 0.0,
) -> None:
    """Evaluate one shard of a run's suites, before and after training, and publish it."""
    from ttsrl.evaluation.shard import ShardedEvaluation, evaluate_shard

    evaluate_shard(ShardedEvaluation(config, work_dir, of, step, suite, name, wait_s), index)


@command(commands, f"ttsrl job eval-reduce {POD} --of 4", name="eval-reduce")
def eval_reduce(
    config: Config,
    work_dir: JobFolder,
    of: Shards,
    step: ModelStep = None,
    suite: Suite = None,
    name: EvaluationName = None,
    wait_s: Wait = 0.0,
) -> None:
    """Put the shards together: report.json, report.html and best.json in storage."""
    from ttsrl.evaluation.reduce import reduce_shards
    from ttsrl.evaluation.shard import ShardedEvaluation
    from ttsrl.tracking.beside import tell_if_wanted

    reduce_shards(ShardedEvaluation(config, work_dir, of, step, suite, name, wait_s))
    tell_if_wanted(config, work_dir)


@command(commands, "ttsrl job prefetch --config /etc/ttsrl/run.json --from hub")
def prefetch(
    config: Config,
    source: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="ADDRESS",
            help="hub (Hugging Face), or what `ttsrl mirror --models-to` has filled.",
        ),
    ],
) -> None:
    """Bring every model and data set of a run into the cache of models."""
    from ttsrl.config.load import load_run
    from ttsrl.models.mirror import fill_cache, hub_ids
    from ttsrl.runtime.progress import Progress
    from ttsrl.storage.storage import open_storage

    with Progress() as progress:
        mirror = None if source == "hub" else open_storage(source)
        fill_cache(mirror, hub_ids(load_run(config)), progress)


@command(commands, "ttsrl job await-models --config /etc/ttsrl/run.json --wait-s 3600")
def await_models(config: Config, wait_s: Wait = 0.0) -> None:
    """Wait until `ttsrl job prefetch` has filled the cache of models for a run."""
    from ttsrl.config.load import load_run
    from ttsrl.models.mirror import hub_ids, wait_until_filled

    wait_until_filled(hub_ids(load_run(config)), wait_s)


@command(commands, "ttsrl job check score --config /etc/ttsrl/run.json")
def check(
    what: Annotated[ReleaseCheck, typer.Argument(help="What to check.")], config: Config
) -> None:
    """Check a release that is up, as `helm test` does: does it score, store, show its metrics?"""
    from ttsrl.config.load import load_run
    from ttsrl.kube.check import CHECKS

    print(CHECKS[what.value](load_run(config)), flush=True)


def _refuse_another_run(config: Path, name: str | None) -> None:
    """Raises BadInput where the release that a job was applied for has another run by now: its next
    attempt would train that one. What is wrong with the file itself is told later."""
    from ttsrl.config.load import load_run
    from ttsrl.training.supervisor import end_ray_job

    if name is None:
        return
    try:
        found = load_run(config).name
    except BadInput:
        return
    if found != name:
        words = (
            f"this job is for the run {name!r}, and {config} is the run {found!r}; delete the job, "
            "and start the other run with `ttsrl submit`"
        )
        end_ray_job(f"error: {words}")
        raise BadInput(words)
