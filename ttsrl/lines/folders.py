"""What lies in a folder of the user's, hidden files and folders left alone."""

from __future__ import annotations

import os
from pathlib import Path


def is_file(path: Path) -> bool:
    """Whether a file is there; False for what cannot be a path, such as a name that is too long.

    Paths that data name may be anything, and `Path.is_file` raises OSError for some of them.
    """
    try:
        return path.is_file()
    except OSError:
        return False


def visible_files(folder: Path) -> list[Path]:
    """Every file at any depth, in the order of their paths; links to folders are followed once.

    Left out: what begins with a dot (.git, .ipynb_checkpoints, macOS's ._name.wav), and __MACOSX.
    """
    found: list[Path] = []
    seen: set[str] = set()
    for here, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(here)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not name.startswith(".") and name != "__MACOSX"]
        found += [Path(here, name) for name in files if not name.startswith(".")]
    return sorted(found)
