"""A run with three seeds, whole, and its table: python benchmarks/seeds.py

Prints what README quotes of the quickstart; of the example voice, on a GPU, with
`--config examples/voice/run.json --name voice`. Each seed runs in a folder of its own, runs/seed-N
or runs/NAME-N, and is not repeated once it is done.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path
from statistics import fmean

from benchmarks.step_stages import stage_seconds
from ttsrl.evaluation.report.comparison import Compared, Comparison, compare, percent
from ttsrl.evaluation.report.inputs import RunFolder, read_run_folder

CONFIG = Path(__file__).parents[1] / "examples" / "tiny" / "run.json"
SEEDS = (1, 2, 3)


def main() -> None:
    """Run what is not done yet, then print both tables in Markdown."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--config", type=Path, default=CONFIG)
    parser.add_argument("--name", default="seed", help="what the folders' names begin with")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="changes")
    asked = parser.parse_args()
    folders = [run(asked.config, f"{asked.name}-{seed}", seed, asked.changes) for seed in SEEDS]
    evaluated = folders[0].run.eval
    judges = [(f"cer/{j.name}", f"CER, {j.name}") for j in evaluated.judges]
    opinions = [(f"quality/{one.type}", f"{one.type} of 5") for one in evaluated.quality]
    rows = [*judges, *opinions, ("finished", "end-token rate"), ("duration", "mean duration")]
    print("\n| held-out texts | speech |", *(f"seed {s} |" for s in SEEDS), "mean change |")
    print("|---|---|" + "---|" * (len(SEEDS) + 1))
    comparisons = [compare(folder) for folder in folders]
    for key, label in rows:
        for mode in ("sampled", "greedy"):
            cells = [_of(c, key, mode) for c in comparisons]
            changes = [c.result.relative_change.value for c in cells if c.result.relative_change]
            unit = "s" if key == "duration" else "" if (key, label) in opinions else "%"
            print(f"| {label} | {mode} |", *(f"{_cell(c, unit)} |" for c in cells), end=" ")
            print(f"{percent(fmean(changes), 0) if changes else ''} |")
    print("\n| seconds a step | " + " | ".join(stage_seconds(folders[0])) + " |")
    print("|---|" + "---|" * len(stage_seconds(folders[0])))
    for seed, folder in zip(SEEDS, folders, strict=True):
        shares = " | ".join(f"{s:.2f}" for s in stage_seconds(folder).values())
        print(f"| seed {seed}, mean of {len(folder.steps)} steps | {shares} |")


def run(config: Path, name: str, seed: int, changes: list[str]) -> RunFolder:
    """One quickstart; its folder."""
    folder = Path("runs") / name
    command = ["-m", "ttsrl", "quickstart", "--config", str(config), "--work-dir", str(folder)]
    for change in (f"seed={seed}", f"name={name}", *changes):
        command += ["--set", change]
    start = time.monotonic()
    subprocess.run([sys.executable, *command], check=True)
    print(f"seed {seed}: {time.monotonic() - start:.0f} s")
    return read_run_folder(folder)


def _of(comparison: Comparison | None, key: str, mode: str) -> Compared:
    compared = comparison.of(key, mode) if comparison else None
    if compared is None:
        raise SystemExit(f"no {key} of {mode} speech in both evaluations")
    return compared


def _cell(compared: Compared, unit: str) -> str:
    result = compared.result
    if unit in ("s", ""):
        return f"{result.before.value:.2f} -> {result.after.value:.2f} {unit}".rstrip()
    move = f"{percent(result.before.value)} -> {percent(result.after.value)}"
    if (change := result.relative_change) is None:
        return move
    return f"{move} ({percent(change.low, 0)} to {percent(change.high, 0)})"


if __name__ == "__main__":
    main()
