"""Coverage per room of ttsrl/, from a report of `coverage json`; fails below a limit.

python -m tools.coverage_rooms REPORT
"""

from __future__ import annotations

import json
import sys
import tomllib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

ROOT = Path(__file__).parents[1]
LOOSE = "(root)"


@dataclass
class RoomCoverage:
    """Lines of a room that the tests ran, and how many it has."""

    covered: int = 0
    lines: int = 0
    worst: list[tuple[int, str]] = field(default_factory=list)
    """(lines that no test ran, file)."""

    @property
    def percent(self) -> float:
        """In 0..100; a room without lines is covered."""
        return 100 * self.covered / self.lines if self.lines else 100.0


def room_of(file: str) -> str:
    """The folder directly below ttsrl/ in which a file is."""
    parts = PurePosixPath(file).parts
    below = parts[parts.index("ttsrl") + 1 :]
    return below[0] if len(below) > 1 else LOOSE


def coverage_by_room(report: Mapping[str, Any]) -> dict[str, RoomCoverage]:
    """Room -> its coverage, from the report of `coverage json`."""
    rooms: dict[str, RoomCoverage] = defaultdict(RoomCoverage)
    for file, facts in report["files"].items():
        room, summary = rooms[room_of(file)], facts["summary"]
        room.covered += summary["covered_lines"]
        room.lines += summary["num_statements"]
        room.worst.append((summary["missing_lines"], file))
    return dict(sorted(rooms.items()))


def main(report: Path, settings: Mapping[str, Any]) -> int:
    """Print a line per room, and of rooms below the limit the files; 1 if there are any.

    settings: `percent`, the limit; `allowances`, room -> {percent, reason} for a lower one.
    """
    failed = 0
    for name, room in coverage_by_room(json.loads(report.read_text())).items():
        allowance = settings["allowances"].get(name, {})
        least = allowance.get("percent", settings["percent"])
        note = f"at least {least} %: {allowance['reason']}" if allowance else ""
        print(f"{name:12} {room.percent:6.1f} % of {room.lines:5} lines  {note}".rstrip())
        if room.percent < least:
            failed = 1
            print(f"  below {least} %; most lines without a test:")
            for missing, file in sorted(room.worst, reverse=True)[:5]:
                print(f"  {missing:6}  {file}")
    return failed


if __name__ == "__main__":
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    sys.exit(main(Path(sys.argv[1]), pyproject["tool"]["rooms"]["coverage"]))
