"""What works on this machine, or in a cluster."""

from __future__ import annotations

from typing import Annotated

import typer

from ttsrl.cli.command import Namespace, ReleaseName, TrainingJob, command

commands = typer.Typer()


@command(commands, "ttsrl doctor --json")
def doctor(
    json: Annotated[bool, typer.Option("--json", help="Print JSON, not a table.")] = False,
    in_cluster: Annotated[
        bool, typer.Option("--cluster", help="Look at a release in the cluster instead.")
    ] = False,
    release: ReleaseName = "ttsrl",
    namespace: Namespace = None,
    kind: Annotated[
        TrainingJob | None,
        typer.Option(help="Which operator is to train; default: the values' train.kind."),
    ] = None,
) -> None:
    """Check this machine, or a cluster, and say how to fix what does not work."""
    from ttsrl.runtime.doctor import examine, show

    if not in_cluster:
        show(examine(), as_json=json)
        return
    from ttsrl.kube import readiness
    from ttsrl.kube.cluster import Cluster
    from ttsrl.kube.release import read_release
    from ttsrl.kube.runs import own_run
    from ttsrl.kube.training import objects_for

    cluster = Cluster(namespace)
    there = read_release(cluster, release)
    operator = kind.value if kind is not None else there.kind
    job = objects_for(there, own_run(there), operator)[-1]
    show(readiness.examine(cluster, there, operator, job, there.run), as_json=json)
