"""The rows of docs/evidence.md: each a GRPO run of the example voice that differs in one thing.

python -m examples.voice.rows --only clean-1 clean-kl    # on a GPU; without --only all of them
python -m examples.voice.evidence                        # the page, from what has been run

Runs whose names begin with `flawed` start from the policy of the flawed corpus, which
`examples.voice.build` leaves in its folder: --flawed runs/voice-base/policy_flawed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from examples.voice.corpus import HERE

ROWS = HERE / "rows.json"
FLAWED = "flawed"
"""How the names of rows begin whose base has learnt from wrong transcripts."""
FOLDER = Path("runs/voice")


def main() -> None:
    """One quickstart a row; what is done is not done again."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--only", nargs="*", default=[*rows()], choices=[*rows()])
    parser.add_argument("--runs", type=Path, default=FOLDER, help="where they lie")
    parser.add_argument("--flawed", type=Path, default=Path("runs/voice-base/policy_flawed"))
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="changes")
    asked = parser.parse_args()
    for name in asked.only:
        changes = [*settings(name, asked.flawed), *asked.changes]
        arguments = [part for change in changes for part in ("--set", change)]
        command = [sys.executable, "-m", "ttsrl", "quickstart", "--config", str(HERE / "run.json")]
        print(f"{name}: {' '.join(changes)}", flush=True)
        folder = ["--work-dir", str(asked.runs / name)]
        if status := subprocess.run([*command, *folder, *arguments], check=False).returncode:
            sys.exit(status)


def rows() -> dict[str, dict[str, Any]]:
    """Name of a row -> what it changes in run.json."""
    return json.loads(ROWS.read_text(encoding="utf-8"))


def settings(name: str, flawed: Path) -> list[str]:
    """KEY=VALUE of a row, as `ttsrl` takes them."""
    changes = {"name": f"voice-{name}"} | rows()[name]
    if name.startswith(FLAWED):
        changes["model"] = str(flawed.absolute())
    return [
        f"{key}={value if isinstance(value, str) else json.dumps(value)}"
        for key, value in changes.items()
    ]


if __name__ == "__main__":
    main()
