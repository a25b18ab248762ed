"""GRPO with each text's own style told to the policy, and with it hidden: one table.

python -m examples.styles.show    # trains both runs, and continues where it was stopped
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from examples.styles.domain import HERE
from ttsrl.errors import Failure
from ttsrl.records.evaluation import REPORT, SAMPLED, EvaluationReport, Interval
from ttsrl.records.record import read_file

RUNS = {"told": (), "hidden": ("prompt.style_from=null",)}
"""Name of a run -> what it changes in run.json."""
JUDGE = "pauses"
"""The judge of styles that gave no reward (eval.styles)."""
HEARING = "judge"
"""The recogniser that gave no reward."""
HEAD = ("style in the prompt", "asked", "texts", "in the asked style", "CER")


def main() -> None:
    """Train where it is not done, then print."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--runs", type=Path, default=Path("runs/styles"), help="where they lie")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="changes")
    asked = parser.parse_args()
    for name, changes in RUNS.items():
        print(f"style {name}:", flush=True)
        train(asked.runs / name, [*changes, *asked.changes])
    print("\n".join(table(asked.runs)))


def train(folder: Path, changes: list[str]) -> None:
    """`ttsrl quickstart`, which does nothing again that is done."""
    settings = [part for change in changes for part in ("--set", change)]
    command = [sys.executable, "-m", "ttsrl", "quickstart", "--config", str(HERE / "run.json")]
    command += ["--work-dir", str(folder), *settings]
    if status := subprocess.run(command, check=False).returncode:
        sys.exit(status)


def table(folder: Path) -> list[str]:
    """Markdown: each style before and after each run, as the judges heard it."""
    lines = [f"| {' | '.join(HEAD)} |", "|" + "---|" * len(HEAD)]
    for name in RUNS:
        reports = [_report(folder / name / "eval" / when) for when in ("before", "after")]
        before, after = (report.modes[SAMPLED].conditions for report in reports)
        for was, now in zip(before, after, strict=True):
            share = f"{_shown(was.as_asked[JUDGE])} -> {_shown(now.as_asked[JUDGE])}"
            cer = f"{_shown(was.cer)} -> {_shown(now.cer)}"
            lines.append(f"| {name} | {now.asked} | {now.texts} | {share} | {cer} |")
        share = " -> ".join(f"{_of_all(report):.1%}" for report in reports)
        errors = (report.modes[SAMPLED].judges[HEARING].mean_cer for report in reports)
        cer = " -> ".join("unknown" if error is None else f"{error:.1%}" for error in errors)
        lines.append(f"| {name} | both | {reports[1].texts} | {share} | {cer} |")
    return lines


def _of_all(report: EvaluationReport) -> float:
    """Share of all texts that are said in the style that was asked for."""
    found = report.modes[SAMPLED].conditions
    said = [(one.as_asked[JUDGE], one.texts) for one in found]
    return sum(share.value * texts for share, texts in said if share) / report.texts


def _report(folder: Path) -> EvaluationReport:
    report = read_file(EvaluationReport, folder / REPORT)
    if report is None:
        raise Failure(f"no evaluation in {folder}; run this again")
    return report


def _shown(interval: Interval | None) -> str:
    if interval is None:
        return "unknown"
    return f"{interval.value:.1%} ({interval.low:.1%} to {interval.high:.1%})"


if __name__ == "__main__":
    main()
