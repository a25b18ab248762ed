"""How near guards come to tripping in clean runs: python benchmarks/guards_clean.py --seeds 1 2 3

Runs the quickstart with each seed and with every guard armed, its checkpoints evaluated beside
training, and prints for each guard how much of the way to its limits it went at most: 1 is where it
trips. A seed whose folder runs/guards-N is done is not run again. `--set` changes the run:
`--set train.steps=12`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from ttsrl.config.evaluation import HELD_OUT
from ttsrl.evaluation.during.plan import BASE
from ttsrl.evaluation.measures import measures_of
from ttsrl.evaluation.report.inputs import Evaluation, RunFolder, read_run_folder
from ttsrl.guards.armed import armed
from ttsrl.guards.history import History
from ttsrl.guards.nearness import Nearness, nearest
from ttsrl.records.during import FOLDER
from ttsrl.runtime.exit_codes import DONE, STOPPED

CONFIG = Path(__file__).parents[1] / "examples" / "tiny" / "run.json"
BESIDE = 'eval.during_training={"every": 1, "texts": 64, "device": "cpu"}'


def main() -> None:
    """Run what is not done yet, then print the table in Markdown."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--set", dest="settings", action="append", default=[])
    given = parser.parse_args()
    folders = {seed: run(seed, given.settings) for seed in given.seeds}
    print_table({f"seed {seed}": folder for seed, folder in folders.items()})


def run(seed: int, settings: Sequence[str]) -> RunFolder:
    """One quickstart; its folder. Raises SystemExit where it fails otherwise than by a guard."""
    folder = Path("runs") / f"guards-{seed}"
    given = [f"seed={seed}", f"name=guards-{seed}", BESIDE, "train.save_every=4", *settings]
    command = ["-m", "ttsrl", "quickstart", "--config", str(CONFIG), "--work-dir", str(folder)]
    start = time.monotonic()
    done = subprocess.run([sys.executable, *command, *(p for s in given for p in ("--set", s))])
    if done.returncode not in (DONE, STOPPED):
        raise SystemExit(f"{folder}: exit code {done.returncode}")
    print(f"seed {seed}: {time.monotonic() - start:.0f} s", flush=True)
    return read_run_folder(folder)


def print_table(folders: dict[str, RunFolder]) -> None:
    """A line per guard: how near it came in each run, and at which step."""
    near = [nearest_of(folder) for folder in folders.values()]
    steps = ", ".join(f"{name} {len(folder.steps)}" for name, folder in folders.items())
    print(f"\nsteps: {steps}\n")
    print("| guard |", *(f"{name} |" for name in folders))
    print("|---|" + "---|" * len(folders))
    for guard in near[0]:
        print(f"| `{guard}` |", *(f"{_cell(one[guard])} |" for one in near))
    tripped = [event.said for folder in folders.values() for event in folder.guards]
    print("\ntripped:", "; ".join(tripped) or "none")


def nearest_of(folder: RunFolder) -> dict[str, Nearness | None]:
    """Each armed guard's nearest point to its limits; None where it was never judged."""
    history = History(folder.run.guards.base_steps)
    for step in folder.steps:
        history.add_step(step)
    evaluated = dict(_evaluated(folder.path / FOLDER))
    if (base := evaluated.get(BASE)) is not None:
        for step, one in evaluated.items():
            sides = (one.report, one.rows), (base.report, base.rows)
            history.add_evaluation(step, measures_of(folder.run, HELD_OUT, *sides))
    return {guard.name: nearest(guard, history) for guard in armed(folder.run).guards}


def _evaluated(folder: Path) -> Iterator[tuple[int, Evaluation]]:
    for path in sorted(folder.glob("step_*")):
        if (found := Evaluation.read(path)) is not None:
            yield int(path.name.removeprefix("step_")), found


def _cell(found: Nearness | None) -> str:
    if found is None:
        return "not judged"
    return f"{found.share:.2f} (step {found.step})" if found.share else "0"


if __name__ == "__main__":
    main()
