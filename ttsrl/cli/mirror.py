"""A release for a cluster without the internet: what it takes, and a copy of its models."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ttsrl.cli.command import command

commands = typer.Typer()


class Part(StrEnum):
    """What of a release is listed."""

    images = "images"
    models = "models"


@command(commands, "ttsrl mirror release.yaml --models-to s3://bucket/models")
def mirror(
    release: Annotated[
        Path,
        typer.Argument(
            metavar="RELEASE.yaml", help="What `helm template` or `helm get manifest` prints."
        ),
    ],
    only: Annotated[
        Part | None, typer.Option(help="List these alone, one per line, for other programs.")
    ] = None,
    models_to: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Copy the models from Hugging Face to s3://bucket/prefix or into a folder.",
        ),
    ] = None,
) -> None:
    """List the images and the models that a release takes from outside, or copy its models.

    In a cluster without the internet the chart's `prefetch.from` fills the cache from that copy.
    """
    from ttsrl.kube.contents import images_of, objects_of, run_of
    from ttsrl.models.mirror import copy_to_mirror, hub_ids
    from ttsrl.runtime.progress import Progress
    from ttsrl.storage.storage import open_storage

    objects = objects_of(release)
    ids = hub_ids(run_of(objects))
    if models_to is not None:
        with Progress() as progress:
            copy_to_mirror(open_storage(models_to), ids, progress)
        return
    if only != Part.models:
        for image in images_of(objects):
            print(image if only else f"image    {image}")
    if only != Part.images:
        for one in ids:
            print(one.name if only else f"{one.kind:<8} {one.name}  ({', '.join(one.keys)})")
