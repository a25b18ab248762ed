"""A release: `make release VERSION=1.2.0`. Commits, tags and pushes nothing.

It writes the version to every place and the changelog's heading, builds wheel, sdist, chart and
the images' bills of materials into dist/, and prints the commands that build the images. Without a
version (`make dist`) it only builds. With REGISTRY in the environment the chart has the images of
that registry; with CHART_KEYRING, a file, it is signed by the key in it that CHART_KEY names.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path

from tools.changelog import CHANGELOG, add_release
from tools.chart import package, sign
from tools.images import build_commands
from tools.sbom import write
from tools.version import ROOT, ReleaseError, set_version


def write_release(version: str, day: date, root: Path = ROOT) -> list[Path]:
    """Change version and changelog; which files changed. Raises ReleaseError before it writes."""
    changelog = root / CHANGELOG
    text = add_release(changelog.read_text(), version, day)
    changed = set_version(version, root)
    changelog.write_text(text)
    return [*changed, changelog]


def build(uv: str, registry: str = "", root: Path = ROOT) -> list[Path]:
    """Wheel, sdist, chart and bills of materials of the current version, in a new dist/."""
    dist = root / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    subprocess.run([uv, "build", "--quiet", "--out-dir", dist, root], check=True)
    (dist / ".gitignore").unlink(missing_ok=True)
    packed = package(dist, registry, root)
    if keyring := os.environ.get("CHART_KEYRING"):
        sign(packed, os.environ.get("CHART_KEY", ""), Path(keyring))
    write(dist, uv, root)
    return sorted(dist.iterdir())


def main(version: str | None) -> None:
    """Print each file that changed or was built, then the commands for the images."""
    registry = os.environ.get("REGISTRY", "")
    changed = write_release(version, date.today()) if version else []
    for path in [*changed, *build(os.environ.get("UV", "uv"), registry)]:
        print(path.relative_to(ROOT))
    print("\nImages, once this is committed (add --push, or a registry before the name):")
    print(*build_commands(f"{registry}/" if registry else ""), sep="\n")


if __name__ == "__main__":
    try:
        main(sys.argv[1] if len(sys.argv) > 1 else None)
    except ReleaseError as error:
        sys.exit(str(error))
