"""What a run resolves to, and what it may hold."""

from __future__ import annotations

from typing import Annotated

import typer

from ttsrl.cli.command import OptionalConfig, Override, command

commands = typer.Typer()


@command(commands, "ttsrl config --config run.json --origin train.steps")
def config(
    config: OptionalConfig = None,
    override: Override = None,
    schema: Annotated[bool, typer.Option(help="Print the JSON schema of a run instead.")] = False,
    values_schema: Annotated[
        bool, typer.Option(help="Print the JSON schema of the Helm chart's values instead.")
    ] = False,
    origin: Annotated[
        str | None, typer.Option(metavar="KEY", help="Print where this key's value comes from.")
    ] = None,
) -> None:
    """Print the run with every default and override in it."""
    import json

    from ttsrl.config import load
    from ttsrl.config.schema import RunConfig
    from ttsrl.errors import BadInput

    if schema:
        print(json.dumps(RunConfig.model_json_schema(), indent=2))
        return
    if values_schema:
        from ttsrl.kube import values

        print(json.dumps(values.values_schema(), indent=2))
        return
    if config is None:
        raise BadInput("no run given; write --config run.json, or --schema for what it may hold")
    if origin is not None:
        print(load.origin(config, override or [], origin))
        return
    print(load.dump_run(load.load_run(config, override or [])), end="")
