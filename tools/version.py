"""The version: pyproject.toml holds it, and the files below repeat it because their readers do.

Everything else (tests, pages, the cluster for tests) reads it or shows VERSION.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]

PLACES = {
    "pyproject.toml": r'^version = "{}"$',
    "uv.lock": r'^name = "ttsrl"\nversion = "{}"$',
    "helm/Chart.yaml": r"^(?:appVersion|version): {}$",
    "jobs/**/*.yaml": r"(?:app\.kubernetes\.io/version: |image: ttsrl-\w+:){}(?=\s)",
}
"""Files -> the expression that finds the version in them, with {} in its place."""
FORM = re.compile(r"\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?")


class ReleaseError(Exception):
    """A release that cannot be made; the text says why and what to do."""


def current_version(root: Path = ROOT) -> str:
    """What pyproject.toml says."""
    return tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"]


def files_with_version(root: Path = ROOT) -> Iterator[tuple[Path, str]]:
    """Every file that repeats the version, with the expression that finds it there."""
    for glob, expression in PLACES.items():
        for path in sorted(root.glob(glob)):
            if not path.is_symlink():
                yield path, expression


def set_version(new: str, root: Path = ROOT) -> list[Path]:
    """Write a version to every place; which files changed. Raises ReleaseError for a bad one."""
    if not FORM.fullmatch(new):
        raise ReleaseError(f"VERSION={new} is not a version; give three numbers, as in 1.2.0")
    old = current_version(root)
    if new == old:
        raise ReleaseError(f"VERSION={new} is the current version; give a later one")
    return [
        path
        for path, expression in files_with_version(root)
        if _rewrite(path, expression, old, new)
    ]


def _rewrite(path: Path, expression: str, old: str, new: str) -> bool:
    place = re.compile(expression.format(re.escape(old)), re.MULTILINE)
    text = path.read_text()
    changed = place.sub(lambda found: found[0].replace(old, new), text)
    path.write_text(changed)
    return changed != text
