"""Bills of materials of the images, from uv.lock: the Python packages of each, as CycloneDX.

    python -m tools.sbom FOLDER

Writes FOLDER/IMAGE.cdx.json. What the base brings is not in them: `docker build --sbom=true` lists
that too, in the registry beside the image.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from packaging.markers import Marker

from tools.bases import DOCKERFILE, bases
from tools.version import ROOT, current_version

PYTHON = "3.12"
"""Of the bases: Ubuntu 24.04."""
EXTRAS = {
    "ttsrl-reward": "REWARD_EXTRAS",
    "ttsrl-jobs": "REWARD_EXTRAS",
    "ttsrl-train": "TRAIN_EXTRAS",
}
"""Image -> the argument of the Dockerfile that says what is installed."""
MARKER = "uv:package:marker"


def extras_of(image: str, root: Path = ROOT) -> list[str]:
    """The extras that an image has, unless it is built with others."""
    text = (root / DOCKERFILE).read_text()
    [found] = re.findall(rf'^ARG {EXTRAS[image]}="(.*)"$', text, re.MULTILINE)
    return found.split()


def bill(image: str, uv: str = "uv", root: Path = ROOT) -> dict[str, Any]:
    """The bill of one image. Raises CalledProcessError if uv.lock is outdated."""
    extras = [f"--extra={extra}" for extra in extras_of(image, root)]
    options = ["--locked", "--quiet", "--preview-features=sbom-export", "--no-default-groups"]
    exported = subprocess.run(
        [uv, "export", "--format=cyclonedx1.5", *options, *extras],
        cwd=root,
        check=True,
        capture_output=True,
    )
    made = json.loads(exported.stdout)
    version = current_version(root)
    project = made["metadata"]["component"]
    container = f"{image}@{version}"
    component: dict[str, Any] = {
        "type": "container",
        "bom-ref": container,
        "name": image,
        "version": version,
    }
    made["metadata"]["component"] = component
    base = {base.argument: base for base in bases(root)}[
        "TRAIN_BASE" if image == "ttsrl-train" else "BASE"
    ]
    component["components"] = [
        {
            "type": "container",
            "bom-ref": base.name,
            "name": base.repository,
            "version": base.digest or base.name.rpartition(":")[2],
        }
    ]
    made["components"] = [project, *filter(_is_installed, made["components"])]
    known = {part["bom-ref"] for part in made["components"]}
    made["dependencies"] = [
        {"ref": container, "dependsOn": [project["bom-ref"]]},
        *(
            {**one, "dependsOn": [ref for ref in one.get("dependsOn", []) if ref in known]}
            for one in made["dependencies"]
            if one["ref"] in known
        ),
    ]
    return made


def _is_installed(component: dict[str, Any]) -> bool:
    markers = {one["name"]: one["value"] for one in component.get("properties", [])}
    if MARKER not in markers:
        return True
    machine = {"platform_machine": "x86_64", "sys_platform": "linux"}
    python = {"python_version": PYTHON, "python_full_version": f"{PYTHON}.3"}
    return Marker(markers[MARKER]).evaluate({**machine, **python})


def write(folder: Path, uv: str = "uv", root: Path = ROOT) -> list[Path]:
    """A file for each image."""
    folder.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    for image in EXTRAS:
        paths.append(folder / f"{image}.cdx.json")
        paths[-1].write_text(json.dumps(bill(image, uv, root), indent=1) + "\n")
    return paths


if __name__ == "__main__":
    for path in write(Path(sys.argv[1]), os.environ.get("UV", "uv")):
        print(path)
