"""Names and rooms: a class name is defined once, and the library's root has few loose files.

python -m tools.house
"""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("ttsrl", "monitoring", "benchmarks", "examples", "tests", "tools")
MOST_LOOSE_FILES = 8
"""In ttsrl/ itself. Everything else has a room."""


def classes(root: Path) -> Iterator[tuple[str, str]]:
    """(name, file:line) of every class that is defined at the top of a file."""
    for path in sorted(path for folder in FOLDERS for path in (root / folder).rglob("*.py")):
        for statement in ast.parse(path.read_text()).body:
            if isinstance(statement, ast.ClassDef):
                yield statement.name, f"{path.relative_to(root)}:{statement.lineno}"


def duplicate_names(root: Path) -> Iterator[str]:
    """A line per class name that stands for two things."""
    places: dict[str, list[str]] = defaultdict(list)
    for name, place in classes(root):
        places[name].append(place)
    for name, where in places.items():
        if len(where) > 1:
            yield f"class {name} is defined in {' and '.join(where)}: rename one of them"


def loose_files(root: Path) -> Iterator[str]:
    """A line if the library's root has too many files."""
    count = len(list((root / "ttsrl").glob("*.py")))
    if count > MOST_LOOSE_FILES:
        yield f"ttsrl/ has {count} files beside its rooms, at most {MOST_LOOSE_FILES}: move one"


def main(root: Path = ROOT) -> int:
    """Print what is wrong; 1 if anything is."""
    wrong = [*duplicate_names(root), *loose_files(root)]
    print(*wrong, sep="\n", end="\n" if wrong else "")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
