"""The commands that build this version's images, with arguments from skaffold.yaml and OCI labels.

    python -m tools.images [REGISTRY/] [IMAGE] [OPTIONS OF docker build]

An empty IMAGE stands for all of them.

Labels: https://specs.opencontainers.org/image-spec/annotations.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from tools.version import ROOT, current_version


def build_commands(
    registry: str = "", image: str = "", options: Sequence[str] = (), root: Path = ROOT
) -> Iterator[str]:
    """One `docker build` per image. The shell that runs them adds the commit and the origin."""
    version = current_version(root)
    for artifact in yaml.safe_load((root / "skaffold.yaml").read_text())["build"]["artifacts"]:
        if image not in ("", artifact["image"]):
            continue
        docker = artifact["docker"]
        arguments = [f"--build-arg={key}={value}" for key, value in docker["buildArgs"].items()]
        label = "--label=org.opencontainers.image"
        yield " ".join(
            [
                shlex.join(["docker", "build", "--file", docker["dockerfile"], *arguments]),
                f"{label}.version={version}",
                f'{label}.revision="$(git rev-parse HEAD)"',
                f'{label}.source="$(git remote get-url origin)"',
                shlex.join([f"--tag={registry}{artifact['image']}:{version}", *options, "."]),
            ]
        )


def main(registry: str = "", image: str = "", *options: str) -> None:
    """Print the commands."""
    if not (commands := list(build_commands(registry, image, options))):
        sys.exit(f"IMAGE={image} is not an image of skaffold.yaml")
    print(*commands, sep="\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
