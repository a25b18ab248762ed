"""Training in a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ttsrl.cli.command import (
    Namespace,
    OptionalConfig,
    Override,
    Queue,
    ReleaseName,
    RunName,
    TrainingJob,
    command,
)
from ttsrl.errors import BadInput

if TYPE_CHECKING:
    from ttsrl.kube.release import Release
    from ttsrl.kube.runs import ClusterRun

commands = typer.Typer()

NewName = Annotated[
    str | None,
    typer.Option("--name", metavar="NAME", help="Name of a new run beside the release's own."),
]


@command(commands, "ttsrl submit --config run.json --name exp7 --set seed=7")
def submit(
    release: ReleaseName = "ttsrl",
    namespace: Namespace = None,
    config: OptionalConfig = None,
    override: Override = None,
    name: NewName = None,
    kind: Annotated[
        TrainingJob | None,
        typer.Option(help="Which operator runs it; default: the values' train.kind."),
    ] = None,
    queue: Queue = None,
    show_only: Annotated[
        bool, typer.Option("--print", help="Print the objects as YAML, and create nothing.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, and create nothing.")
    ] = False,
) -> None:
    """Start or resume training in the cluster; checked before a GPU is spent.

    Without --config, --name and --set it is the run of the release's values. Others share the
    release's reward service, if they want the same reward.
    """
    from ttsrl.kube import follow
    from ttsrl.kube.cluster import Cluster
    from ttsrl.kube.readiness import examine, refuse
    from ttsrl.kube.release import read_release
    from ttsrl.kube.stopped import forget_stop
    from ttsrl.kube.training import objects_for, printed, submit
    from ttsrl.models.kinship import verdict_notes
    from ttsrl.runtime.doctor import print_table

    cluster = Cluster(namespace)
    there = read_release(cluster, release)
    run = wanted_run(there, config, override, name)
    operator = kind.value if kind is not None else there.kind
    if show_only:
        print(printed(there, run, operator, queue), end="")
        return
    for note in verdict_notes(run.run):
        print(note)
    if dry_run:
        job = objects_for(there, run, operator, queue)[-1]
        checks = examine(cluster, there, operator, job, run.run)
        print_table(checks)
        refuse(checks)
        return
    print(submit(cluster, there, run, operator, queue))
    forget_stop(cluster, run.names)
    if run.run.eval.during_training is not None:
        print(follow.submit(cluster, there, run, queue))


def wanted_run(
    release: Release, config: Path | None, override: list[str] | None, name: str | None
) -> ClusterRun:
    """The run that the options describe. Raises BadInput."""
    from ttsrl.config.load import load_run, load_text
    from ttsrl.kube.runs import another_run, check_same, own_run

    given = [*(override or []), *([f"name={name}"] if name is not None else [])]
    if config is None and not given:
        return own_run(release)
    if config is None:
        run = load_text(release.files["run.json"], given, f"ConfigMap of {release.names.release}")
    else:
        run = load_run(config, given)
    if run.name != release.run.name:
        return another_run(release, run)
    check_same(release, run)
    return own_run(release)


@command(commands, "ttsrl status --release ttsrl --follow")
def status(
    release: ReleaseName = "ttsrl",
    namespace: Namespace = None,
    run: RunName = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Show progress until the job has ended.")
    ] = False,
    json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print JSON for programs: a list of runs, or of --run its own."
        ),
    ] = False,
) -> None:
    """List the release's runs; show what the jobs of one do, and why a pod is pending."""
    from ttsrl.kube import followed, status, training
    from ttsrl.kube.cluster import Cluster
    from ttsrl.kube.names import RUN_LABEL
    from ttsrl.kube.objects import labels_of
    from ttsrl.kube.release import read_names
    from ttsrl.runtime.progress import Progress

    if json and follow:
        raise BadInput("--json tells the state once: leave --follow out")
    cluster = Cluster(namespace)
    names = read_names(cluster, release, run)
    if json:
        print(status.for_programs(cluster, names, run))
        return
    if follow:
        with Progress() as progress:
            followed.watch(cluster, names, progress)
        return
    runs = training.runs(cluster, names)
    if run is None and [labels_of(one).get(RUN_LABEL) for one in runs] not in ([], [names.run]):
        print("\n".join(training.run_line(one) for one in runs))
        return
    print("\n".join([*status.status(cluster, names).lines(), *status.evaluation(cluster, names)]))


@command(commands, "ttsrl logs --release ttsrl --follow")
def logs(
    release: ReleaseName = "ttsrl",
    namespace: Namespace = None,
    run: RunName = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Follow the log until the job has ended.")
    ] = False,
    previous: Annotated[
        bool, typer.Option("--previous", "-p", help="Of the attempt before this one.")
    ] = False,
) -> None:
    """Print what a run's training says."""
    from ttsrl.kube.cluster import Cluster
    from ttsrl.kube.logs import logs
    from ttsrl.kube.release import read_names

    cluster = Cluster(namespace)
    names = read_names(cluster, release, run)
    for line in logs(cluster, names, follow=follow, previous=previous):
        print(line, flush=follow)


@command(commands, "ttsrl stop --release ttsrl")
def stop(
    release: ReleaseName = "ttsrl",
    namespace: Namespace = None,
    run: RunName = None,
    delete: Annotated[
        bool, typer.Option("--delete", help="Delete the job; else it is suspended.")
    ] = False,
) -> None:
    """Suspend a run's training; `ttsrl submit` resumes from the last published checkpoint."""
    from ttsrl.kube import follow, training
    from ttsrl.kube.cluster import Cluster
    from ttsrl.kube.pause import pause
    from ttsrl.kube.release import read_names
    from ttsrl.kube.stopped import note_stop

    cluster = Cluster(namespace)
    names = read_names(cluster, release, run)
    kind, job = training.the_job(cluster, names)
    note_stop(cluster, names)
    if not delete:
        print(pause(cluster, names, kind, job))
        follow.pause(cluster, names)
        return
    training.delete(cluster, names, kind)
    print(f"{job['kind']} {job['metadata']['name']} and its pods are gone")
    if follow.delete(cluster, names):
        print("Its evaluation during training is gone, too")
