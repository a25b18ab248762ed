"""`ttsrl ...`: all its commands."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from ttsrl.cli import (
    cluster,
    configuration,
    data,
    doctor,
    evaluation,
    job,
    mirror,
    model,
    prefer,
    run,
)

app = typer.Typer(
    name="ttsrl",
    epilog="Begin with: ttsrl doctor, then ttsrl quickstart",
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for topic in (doctor, run, data, evaluation, model, configuration, cluster, mirror):
    app.add_typer(topic.commands)
app.add_typer(prefer.commands, name="prefer")
app.add_typer(job.commands, name="job")


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"ttsrl {version('ttsrl')}")
        raise typer.Exit


@app.callback()
def ttsrl(
    _: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", is_eager=True, callback=_show_version),
    ] = False,
) -> None:
    """Reinforcement-learning post-training of speech-generating language models."""


def main() -> None:
    """Exit codes of every command: 0 done, 1 failed, 2 bad input, 3 stopped by a guard,
    130 interrupted."""
    app()
