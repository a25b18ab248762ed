"""How a function becomes a command, and the options that several commands have."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, cast

import typer

from ttsrl.kube import place
from ttsrl.runtime.exit_codes import exit_code
from ttsrl.runtime.native_thread import abandon_native_threads
from ttsrl.runtime.resources import resource

TINY = resource("examples/tiny/run.json")

CommandFunction = Callable[..., int | None]


def command(
    commands: typer.Typer, example: str, name: str | None = None
) -> Callable[[CommandFunction], CommandFunction]:
    """Register a function as a command whose errors become one line and an exit code.

    An integer that the function returns is the exit code.
    """

    def register(function: CommandFunction) -> CommandFunction:
        @functools.wraps(function)
        def run(*args: object, **options: object) -> None:
            code = exit_code(lambda: function(*args, **_in_place(options)))
            abandon_native_threads(code)
            raise typer.Exit(code)

        _let_choose_the_cluster(run)
        commands.command(name, epilog=f"Example: {example}")(run)
        return function

    return register


def _let_choose_the_cluster(run: Callable[..., None]) -> None:
    """A command that takes a namespace takes the cluster of it, too, as kubectl does."""
    signature = inspect.signature(run, eval_str=True)
    if "namespace" not in signature.parameters:
        return
    named = inspect.Parameter.KEYWORD_ONLY
    more = [
        inspect.Parameter(name, named, default=None, annotation=annotation)
        for name, annotation in (("context", Context), ("kubeconfig", KubeConfig))
    ]
    given = [one.replace(kind=named) for one in signature.parameters.values()]
    run.__signature__ = signature.replace(parameters=[*given, *more])


def _in_place(options: dict[str, object]) -> dict[str, object]:
    """The options without those that choose the cluster, which is remembered."""
    place.chosen.context = cast("str | None", options.pop("context", None))
    place.chosen.kubeconfig = cast("Path | None", options.pop("kubeconfig", None))
    return options


def _found(path: Path | None) -> Path | None:
    """A file of examples/ is found where there is no checkout too."""
    if path is None or path.exists() or not (ours := resource(str(path))).is_file():
        return path
    return ours


RunFile = typer.Option(
    metavar="FILE",
    help="The run's JSON file; one of ttsrl's own examples/ from anywhere.",
    callback=_found,
)
Config = Annotated[Path, RunFile]
OptionalConfig = Annotated[Path | None, RunFile]
Override = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Set a key of the run; may be repeated."),
]
WorkDir = Annotated[
    Path | None, typer.Option(metavar="DIR", help="The run's folder; default: runs/NAME.")
]
ReleaseName = Annotated[str, typer.Option("--release", metavar="NAME", help="The Helm release.")]
Namespace = Annotated[
    str | None,
    typer.Option("--namespace", "-n", help="Default: that of kubectl's current context."),
]
Context = Annotated[
    str | None,
    typer.Option("--context", metavar="NAME", help="Of kubectl's configuration; default: current."),
]
KubeConfig = Annotated[
    Path | None,
    typer.Option("--kubeconfig", metavar="FILE", help="Default: KUBECONFIG, or ~/.kube/config."),
]
RunName = Annotated[
    str | None,
    typer.Option("--run", metavar="NAME", help="A run of the release; default: its own."),
]

Queue = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Kueue's LocalQueue to wait in; default: the values'."),
]


class TrainingJob(StrEnum):
    """Which operator runs the training."""

    rayjob = "rayjob"
    pytorchjob = "pytorchjob"
    trainjob = "trainjob"
