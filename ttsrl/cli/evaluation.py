"""Judging models and rewards."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ttsrl.cli.command import (
    Config,
    Namespace,
    OptionalConfig,
    Override,
    Queue,
    ReleaseName,
    RunName,
    WorkDir,
    command,
)
from ttsrl.cli.in_folder import do, resolved_for
from ttsrl.errors import BadInput

commands = typer.Typer()


@command(commands, "ttsrl eval --config run.json --model runs/NAME/pulled --as after")
def eval(
    config: OptionalConfig = None,
    model: Annotated[
        str | None, typer.Option(help="Folder or Hugging Face id; default: the run's own policy.")
    ] = None,
    suite: Annotated[
        str, typer.Option(help="What to speak: held_out, or one of the run's eval.suites.")
    ] = "held_out",
    name: Annotated[
        str, typer.Option("--as", help="Name of the evaluation; report reads before and after.")
    ] = "before",
    override: Override = None,
    work_dir: WorkDir = None,
    in_cluster: Annotated[
        bool, typer.Option("--cluster", help="Merge and evaluate a release's run there instead.")
    ] = False,
    release: ReleaseName = "ttsrl",
    namespace: Namespace = None,
    run_name: RunName = None,
    queue: Queue = None,
) -> None:
    """Speak the texts of a suite with a model and let every judge listen."""
    if in_cluster:
        _in_cluster(release, namespace, run_name, queue)
        return
    if config is None:
        raise BadInput("which run? give its JSON file with --config, or --cluster for a release's")
    from ttsrl.config.evaluation import HELD_OUT
    from ttsrl.evaluation.one_suite import evaluate_suite
    from ttsrl.models.kinship import verdict_notes
    from ttsrl.runtime.follow import counts

    job = f"evaluate-{suite}-{name}"
    with resolved_for(job, config, override, work_dir) as (run, folder, resolved):
        for note in verdict_notes(run):
            print(note)
        data = folder / "data" / "held_out.parquet"
        out = folder / "eval" / ("" if suite == HELD_OUT else suite) / name
        arguments = (resolved, model or run.model, suite, data, out)
        do(job, folder, evaluate_suite, *arguments, watch=counts)
    print(out / "report.json")


def _in_cluster(
    release: str, namespace: str | None, run_name: str | None, queue: str | None
) -> None:
    from ttsrl.kube.cluster import Cluster
    from ttsrl.kube.evaluation import submit
    from ttsrl.kube.release import read_release
    from ttsrl.kube.runs import newest_run

    cluster = Cluster(namespace)
    there = read_release(cluster, release)
    for line in submit(cluster, there, newest_run(cluster, there, run_name), queue):
        print(line)


@command(commands, "ttsrl follow --config run.json")
def follow(config: Config, override: Override = None, work_dir: WorkDir = None) -> None:
    """Evaluate a run's checkpoints as they are published, until its last one.

    `ttsrl train` does this by itself where the run has eval.during_training.
    """
    from ttsrl.evaluation.during.beside import check_during_training, cuda_beside
    from ttsrl.evaluation.during.follow import follow_here
    from ttsrl.runtime.follow import notes

    with resolved_for("during", config, override, work_dir) as (run, folder, resolved):
        cuda = cuda_beside(run, gpus_of_training=0)
        check_during_training(run, gpus_of_training=0)
        do("during", folder, follow_here, resolved, folder, cuda, watch=notes)


@command(commands, "ttsrl compare runs/NAME/eval/before runs/NAME/eval/after")
def compare(
    before: Annotated[
        str, typer.Argument(help="Folder of an evaluation; or its address in storage.")
    ],
    after: Annotated[str, typer.Argument(help="Another one, of the same suite.")],
    json: Annotated[bool, typer.Option("--json", help="Print JSON, not a table.")] = False,
    samples: Annotated[int, typer.Option(help="Bootstrap resamples.")] = 2000,
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap.")] = 0,
) -> None:
    """Compare two evaluations: paired bootstrap over their common texts."""
    from ttsrl.evaluation.compare import show

    show(before, after, as_json=json, samples=samples, seed=seed)


@command(commands, "ttsrl report runs/NAME")
def report(
    source: Annotated[
        str,
        typer.Argument(
            metavar="RUN",
            help="The run's folder; the address of a published run; or a Helm release by its name.",
        ),
    ],
    to: Annotated[
        Path | None,
        typer.Option(help="Folder to write into, for a run that is published.", metavar="DIR"),
    ] = None,
    namespace: Namespace = None,
    run: RunName = None,
) -> None:
    """Write report.html from what a run has left in its folder, or in storage up to now."""
    from ttsrl.evaluation.report.page import log_report
    from ttsrl.storage.run_store import is_published_run

    here = Path(source).absolute()
    if run is not None or not here.is_dir():
        folder = _brought(source, to, namespace, run)
    elif is_published_run(here):
        folder = _brought(str(here), to, namespace, run)
    elif to is not None:
        raise BadInput(
            f"{source} is a run's own folder, and its report is written there; leave --to {to} out"
        )
    else:
        folder = here
    do("report", folder, log_report, folder)
    print(folder / "report.html")


def _brought(source: str, to: Path | None, namespace: str | None, run: str | None) -> Path:
    """The folder `to`, with what storage has of a run. Raises BadInput."""
    from ttsrl.cli.published import published
    from ttsrl.evaluation.published_run import bring_run

    if to is None:
        raise BadInput(
            f"{source} is not a run's own folder; for a published run or a release give --to DIR"
        )
    if Path(source).is_dir() and to.resolve().is_relative_to(Path(source).resolve()):
        raise BadInput(f"--to {to} is in the published run {source}; give a folder outside of it")
    bring_run(published(source, namespace, run), to.absolute())
    return to.absolute()


@command(commands, "ttsrl audit --config run.json")
def audit(
    config: Config,
    clips: Annotated[
        Path | None,
        typer.Option(
            help="Clean speech: JSONL with text and wav on each line. Default: the run's "
            "guards.audit_clips, else the clips that come with ttsrl.",
            metavar="FILE",
        ),
    ] = None,
    override: Override = None,
) -> None:
    """Spoil clean speech in many ways; fail if the run's reward pays as much for one of them."""
    from ttsrl.config.load import load_run
    from ttsrl.serving.audit_command import show

    show(load_run(config, override or []), clips)
