"""DPO on the pairs that a GRPO run kept, beside that run: python benchmarks/pairs_or_rollouts.py

Prints the table of docs/losses.md, from the tiny quickstart. What is done in runs/pairs is not done
again. Further arguments are settings of both runs, such as eval.max_texts=20.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from ttsrl.records.evaluation import MODES, REPORT, EvaluationReport
from ttsrl.records.record import parse

CONFIG = Path(__file__).parents[1] / "examples" / "tiny" / "run.json"
WORK = Path("runs/pairs").absolute()
JUDGE = "judge"


def main() -> None:
    """Run what is not done yet, then print the table in Markdown."""
    both = [f"storage={WORK / 'storage'}", *sys.argv[1:]]
    grpo, dpo = WORK / "grpo", WORK / "dpo"
    if not (grpo / "eval" / "after" / REPORT).is_file():
        ttsrl("quickstart", grpo, ["name=grpo", "train.keep_pairs=true", *both])
    kept = grpo / "train" / "pairs.jsonl"
    section = json.dumps({"pairs": str(kept)})
    settings = ["name=dpo", f"dpo={section}", "train.learning_rate=1e-4", *both]
    if not (dpo / "eval" / "after" / REPORT).is_file():
        ttsrl("train", dpo, settings)
        address = f"{WORK / 'storage'}/runs/dpo"
        if not (dpo / "pulled").is_dir():
            subprocess.run([*PROGRAM, "pull", address, "--to", str(dpo / "pulled")], check=True)
        ttsrl("eval", dpo, settings, "--model", str(dpo / "pulled"), "--as", "after")
    with kept.open() as lines:
        print(f"\n{sum(1 for _ in lines)} pairs\n")
    print("| CER on held-out texts | before | DPO | GRPO |\n|---|---|---|---|")
    for mode in MODES:
        cells = [cer(grpo / "eval/before", mode), cer(dpo / "eval/after", mode)]
        print(f"| {mode} | {' | '.join([*cells, cer(grpo / 'eval/after', mode)])} |")


PROGRAM = [sys.executable, "-m", "ttsrl"]


def ttsrl(command: str, folder: Path, settings: list[str], *more: str) -> None:
    """One command of a run, with its settings."""
    given = [part for setting in settings for part in ("--set", setting)]
    where = ["--config", str(CONFIG), "--work-dir", str(folder)]
    subprocess.run([*PROGRAM, command, *where, *given, *more], check=True)


def cer(folder: Path, mode: str) -> str:
    """The judge's mean CER of an evaluation's speech."""
    report = parse(EvaluationReport, (folder / REPORT).read_bytes(), folder / REPORT)
    mean = report.modes[mode].judges[JUDGE].mean_cer
    return "-" if mean is None else f"{mean:.1%}"


if __name__ == "__main__":
    main()
