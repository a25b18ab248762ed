"""The commands that build this version's images, as skaffold.yaml lists them, with OCI labels.

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

from tools.bases import bases
from tools.version import ROOT, current_version


def build_commands(
    registry: str = "", image: str = "", options: Sequence[str] = (), root: Path = ROOT
) -> Iterator[str]:
    """One `docker build` per image. The shell that runs them adds commit, time and origin."""
    version = current_version(root)
    built = yaml.safe_load((root / "skaffold.yaml").read_text())["build"]
    for artifact in built["artifacts"]:
        if image not in ("", artifact["image"]):
            continue
        docker = artifact["docker"]
        docker_build = ["docker", "build", f"--platform={','.join(built['platforms'])}"]
        labels = {
            "version": version,
            "revision": '"$(git rev-parse HEAD)"',
            "created": '"$(date --utc +%Y-%m-%dT%H:%M:%SZ)"',
            "source": '"$(git remote get-url origin)"',
            **_labels_of_base(docker["target"], root),
        }
        yield " ".join(
            [
                shlex.join([*docker_build, f"--file={docker['dockerfile']}"]),
                f"--target={docker['target']}",
                *(f"--label=org.opencontainers.image.{key}={text}" for key, text in labels.items()),
                shlex.join([f"--tag={registry}{artifact['image']}:{version}", *options, "."]),
            ]
        )


def _labels_of_base(target: str, root: Path) -> dict[str, str]:
    by_argument = {base.argument: base for base in bases(root)}
    base = by_argument["TRAIN_BASE" if target == "train" else "BASE"]
    digest = {"base.digest": base.digest} if base.digest else {}
    return {"base.name": base.name, **digest}


def main(registry: str = "", image: str = "", *options: str) -> None:
    """Print the commands."""
    if not (commands := list(build_commands(registry, image, options))):
        sys.exit(f"IMAGE={image} is not an image of skaffold.yaml")
    print(*commands, sep="\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
