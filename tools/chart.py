"""The chart as a package for a registry: with its images' registry, and what Artifact Hub shows.

Annotations: https://artifacthub.io/docs/topics/annotations/helm.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import helm_python
import yaml

from tools.changelog import CHANGELOG, UNRELEASED, release_section
from tools.sbom import EXTRAS
from tools.version import ROOT, ReleaseError, current_version

REGISTRY = '  registry: ""\n'
"""The line of values.yaml that says where images come from."""
KINDS = ("added", "changed", "deprecated", "removed", "fixed", "security")
"""Of changes, in Artifact Hub and as headings of the changelog."""


def package(dist: Path, registry: str = "", root: Path = ROOT) -> Path:
    """The chart's package in `dist`; with a registry, its images are those of that registry."""
    with TemporaryDirectory() as folder:
        chart = Path(folder) / "ttsrl"
        shutil.copytree(root / "helm", chart)
        about = yaml.safe_load((chart / "Chart.yaml").read_text())
        about["annotations"].update(shown(registry, root))
        (chart / "Chart.yaml").write_text(yaml.safe_dump(about, sort_keys=False))
        if registry:
            values = (chart / "values.yaml").read_text()
            if values.count(REGISTRY) != 1:
                raise ReleaseError("helm/values.yaml has no single line for image.registry")
            given = f"  registry: {registry.rstrip('/')}\n"
            (chart / "values.yaml").write_text(values.replace(REGISTRY, given))
        dist.mkdir(parents=True, exist_ok=True)
        helm_python.package(chart, destination=dist)
    return dist / f"ttsrl-{about['version']}.tgz"


def sign(packed: Path, key: str, keyring: Path) -> Path:
    """The package's provenance file, `helm pull --verify` wants it; `keyring` has the secret key of
    that identity, without a passphrase. Raises ReleaseError."""
    try:
        return Path(helm_python.sign(packed, key=key, keyring=keyring))
    except helm_python.HelmError as error:
        raise ReleaseError(
            f"{packed.name} is not signed by {key!r} of {keyring}: {error}"
        ) from None


def shown(registry: str, root: Path = ROOT) -> dict[str, str]:
    """What Artifact Hub shows of this version."""
    version = current_version(root)
    path = f"{registry.rstrip('/')}/" if registry else ""
    images = [
        {"name": image, "image": f"{path}{image}:{version}", "platforms": ["linux/amd64"]}
        for image in sorted(EXTRAS)
    ]
    return {
        "artifacthub.io/images": yaml.safe_dump(images, sort_keys=False),
        "artifacthub.io/changes": yaml.safe_dump(
            changes(version, root), sort_keys=False, width=1000
        ),
        "artifacthub.io/prerelease": str("-" in version).lower(),
    }


def changes(version: str, root: Path = ROOT) -> list[dict[str, Any]]:
    """The changelog's section of a version; of what is not released, while it has none."""
    text = (root / CHANGELOG).read_text()
    released = f"## [{version}]" in text and not release_section(text, "Unreleased")
    section = release_section(text, version if released else UNRELEASED[4:-2])
    found: list[dict[str, Any]] = []
    for part in re.split(r"^### ", section, flags=re.MULTILINE)[1:]:
        heading, _, items = part.partition("\n")
        for item in re.split(r"^- ", items, flags=re.MULTILINE)[1:]:
            kind = heading.strip().lower()
            entry = {"kind": kind} if kind in KINDS else {}
            found.append({**entry, "description": " ".join(item.split())})
    return found
