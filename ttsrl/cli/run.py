"""A run on this machine: rewards, training, and all of it at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ttsrl.cli.command import TINY, Config, Override, WorkDir, command
from ttsrl.cli.in_folder import do, resolved_for

commands = typer.Typer()


@command(commands, "ttsrl quickstart --set train.steps=40")
def quickstart(
    config: Config = TINY,
    override: Override = None,
    work_dir: WorkDir = None,
    fresh: Annotated[bool, typer.Option(help="Forget what is done in the run's folder.")] = False,
) -> None:
    """Train the tiny model on this machine: every stage, from texts to the report.

    The same command resumes an interrupted one.
    """
    from rich.console import Console

    from ttsrl.config.load import load_run, origin
    from ttsrl.models.kinship import verdict_notes
    from ttsrl.quickstart.run import quickstart
    from ttsrl.quickstart.stages import STAGES
    from ttsrl.quickstart.table import before_and_after

    run = load_run(config, override or [])
    for note in verdict_notes(run):
        print(note)
    folder = (work_dir or Path("runs") / run.name).absolute()
    local_storage = origin(config, override or [], "storage") == "default"
    quickstart(run, folder, STAGES, local_storage=local_storage, fresh=fresh)
    Console(highlight=False).print(before_and_after(run, folder))
    print(f"report: {folder / 'report.html'}")


@command(commands, "ttsrl serve --config run.json --port 8000")
def serve(
    config: Config,
    override: Override = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8000,
) -> int:
    """Serve rewards until Ctrl-C."""
    from ttsrl.config.load import dump_run, load_run
    from ttsrl.runtime.scratch import scratch
    from ttsrl.serving.serve import serve

    run = load_run(config, override or [])
    with scratch("ttsrl-serve-") as folder:
        resolved = folder / "run.json"
        resolved.write_text(dump_run(run), encoding="utf-8")
        return serve(resolved, host, port)


@command(commands, "ttsrl train --config run.json")
def train(config: Config, override: Override = None, work_dir: WorkDir = None) -> None:
    """Train; the same command resumes from the newest checkpoint.

    Rewards must be served, unless the run learns from pairs (`dpo`).
    """
    from ttsrl.evaluation.during.beside import BesideTraining, check_during_training
    from ttsrl.models.kinship import verdict_notes
    from ttsrl.runtime.follow import steps
    from ttsrl.training.environment import gpus_here
    from ttsrl.training.supervisor import train_until_terminated

    with resolved_for("train", config, override, work_dir, trains=True) as (run, folder, resolved):
        if run.dpo is not None:
            from ttsrl.training.dpo import train_by_preferences

            return do("train", folder, train_by_preferences, resolved, folder)
        check_during_training(run, gpus_here(run))
        for note in verdict_notes(run):
            print(note)
        do(
            "train",
            folder,
            train_until_terminated,
            *(resolved, folder),
            watch=lambda job, stage: steps(job, folder, stage, run.train.steps),
            beside=lambda stage: BesideTraining(run, resolved, folder, gpus_here(run), stage.tell),
        )


@command(commands, "ttsrl track --config run.json")
def track(config: Config, override: Override = None, work_dir: WorkDir = None) -> None:
    """Tell the run's trackers what they have not got: after an outage, or for a new tracker."""
    from ttsrl.errors import BadInput
    from ttsrl.tracking.follow import tell_rest
    from ttsrl.tracking.registry import check_trackers

    with resolved_for("track", config, override, work_dir) as (run, folder, resolved):
        if not run.trackers:
            raise BadInput("the run has no trackers; name them: --set 'trackers=[\"tensorboard\"]'")
        check_trackers(run.trackers, in_cluster=False)
        do("track", folder, tell_rest, resolved, folder)


@command(commands, "ttsrl merge --config run.json")
def merge(config: Config, override: Override = None, work_dir: WorkDir = None) -> None:
    """Turn the newest checkpoint into a Hugging Face folder and publish it."""
    from ttsrl.evaluation.merge import merge_run

    with resolved_for("merge", config, override, work_dir) as (_, folder, resolved):
        do("merge", folder, merge_run, resolved, folder)
