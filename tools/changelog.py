"""CHANGELOG.md, in the form of Keep a Changelog: https://keepachangelog.com/en/1.1.0."""

from __future__ import annotations

import re
import sys
from datetime import date
from pathlib import Path

from tools.version import ROOT, ReleaseError, current_version

CHANGELOG = "CHANGELOG.md"
UNRELEASED = "## [Unreleased]\n"


def release_section(text: str, version: str) -> str:
    """A version's section, without its heading. Raises ReleaseError if there is none."""
    heading = re.compile(rf"^## \[{re.escape(version)}\].*\n", re.MULTILINE)
    if not (found := heading.search(text)):
        raise ReleaseError(f"{CHANGELOG} has no section {version}; add one")
    return re.split(r"^## ", text[found.end() :], maxsplit=1, flags=re.MULTILINE)[0].strip()


def add_release(text: str, version: str, day: date) -> str:
    """The changelog with what was unreleased under the heading of a version.

    Raises ReleaseError if nothing is listed as unreleased.
    """
    if not release_section(text, "Unreleased"):
        raise ReleaseError(f"{CHANGELOG} lists nothing under Unreleased; say what has changed")
    return text.replace(UNRELEASED, f"{UNRELEASED}\n## [{version}] - {day.isoformat()}\n", 1)


def release_notes(version: str, root: Path = ROOT) -> str:
    """A version's section. Raises ReleaseError if it is not the version that the files have."""
    if version != (current := current_version(root)):
        raise ReleaseError(f"VERSION={version}, but pyproject.toml has {current}; run make release")
    return release_section((root / CHANGELOG).read_text(), version)


if __name__ == "__main__":
    try:
        print(release_notes(sys.argv[1]))
    except ReleaseError as error:
        sys.exit(str(error))
