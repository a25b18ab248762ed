"""Training in a cluster."""

from __future__ import annotations

from typing import Annotated

import typer

from ttsrl.cli.command import (
    Namespace,
    OptionalConfig,
    Overlay,
    Override,
    ReleaseName,
    TrainingJob,
    command,
)
from ttsrl.errors import BadInput

commands = typer.Typer()


@command(commands, "ttsrl submit --release ttsrl --overlay a100-80")
def submit(
    release: ReleaseName = "ttsrl",
    namespace: Namespace = None,
    config: OptionalConfig = None,
    override: Override = None,
    kind: Annotated[TrainingJob, typer.Option(help="Which operator runs it.")] = TrainingJob.rayjob,
    overlay: Overlay = None,
    image: Annotated[
        str | None, typer.Option(help="Training image; default: beside the release's own.")
    ] = None,
    queue: Annotated[
        str | None, typer.Option(metavar="NAME", help="Kueue's LocalQueue to wait in.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, and create nothing.")
    ] = False,
) -> None:
    """Start or resume training in the cluster; checked before a GPU is spent."""
    from ttsrl.config.load import load_run
    from ttsrl.kube import follow
    from ttsrl.kube.cluster import Cluster
    from ttsrl.kube.readiness import examine, refuse
    from ttsrl.kube.release import check_same, read_release
    from ttsrl.kube.training import JobRequest, job_for, submit
    from ttsrl.models.kinship import verdict_notes
    from ttsrl.runtime.doctor import show

    cluster = Cluster(namespace)
    there = read_release(cluster, release)
    if config is not None:
        check_same(there, load_run(config, override or []))
    for note in verdict_notes(there.run):
        print(note)
    request = JobRequest(kind.value, overlay, image, queue)
    if dry_run:
        checks = examine(cluster, there, kind.value, job_for(there, request))
        show(checks, as_json=False)
        refuse(checks)
        return
    print(submit(cluster, there, request))
    if there.run.eval.during_training is not None:
        print(follow.submit(cluster, there, request))


@command(commands, "ttsrl status --release ttsrl --follow")
def status(
    release: ReleaseName = "ttsrl",
    namespace: Namespace = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Show progress until the job has ended.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Show what the release's jobs do, and why a pod is pending."""
    from ttsrl.kube import status
    from ttsrl.kube.cluster import Cluster
    from ttsrl.kube.names import Names
    from ttsrl.runtime.progress import Progress

    cluster, names = Cluster(namespace), Names(release)
    if json and follow:
        raise BadInput("--json tells the state once: leave --follow out")
    if json:
        print(status.status(cluster, names).as_json(status.evaluation(cluster, names)))
        return
    if follow:
        with Progress() as progress:
            status.watch(cluster, names, progress)
        return
    print("\n".join([*status.status(cluster, names).lines(), *status.evaluation(cluster, names)]))


@command(commands, "ttsrl logs --release ttsrl --follow")
def logs(
    release: ReleaseName = "ttsrl",
    namespace: Namespace = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Follow the log until the job has ended.")
    ] = False,
    previous: Annotated[
        bool, typer.Option("--previous", "-p", help="Of the attempt before this one.")
    ] = False,
) -> None:
    """Print what the release's training says."""
    from ttsrl.kube.cluster import Cluster
    from ttsrl.kube.logs import logs
    from ttsrl.kube.names import Names

    for line in logs(Cluster(namespace), Names(release), follow=follow, previous=previous):
        print(line, flush=follow)


@command(commands, "ttsrl stop --release ttsrl")
def stop(
    release: ReleaseName = "ttsrl",
    namespace: Namespace = None,
    delete: Annotated[
        bool, typer.Option("--delete", help="Delete the job; else it is suspended.")
    ] = False,
) -> None:
    """Suspend the release's training; `ttsrl submit` resumes from the last published checkpoint."""
    from ttsrl.kube import follow, training
    from ttsrl.kube.cluster import Cluster
    from ttsrl.kube.names import Names
    from ttsrl.kube.pause import pause

    cluster, names = Cluster(namespace), Names(release)
    kind, job = training.the_job(cluster, names)
    if not delete:
        print(pause(cluster, names, kind, job))
        follow.delete(cluster, names)  # it is made anew, and loses nothing
        return
    training.delete(cluster, names, kind)
    print(f"{job['kind']} {names.train} and its pods are gone")
    if follow.delete(cluster, names):
        print(f"Job {names.follow} is gone, too")
