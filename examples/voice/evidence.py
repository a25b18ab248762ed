"""docs/evidence.md: what each row learnt, as the reward's family and unlike judges hear it.

python -m examples.voice.evidence --runs runs/voice    # writes the page and its charts

A row is a run's folder with its steps and its evaluations before and after. Two evaluations are
paired by text wherever both have a judge's verdict, whatever other judges one of them had.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from examples.voice import evidence_charts
from examples.voice.rows import FOLDER, rows
from ttsrl.config.schema import RunConfig
from ttsrl.errors import BadInput
from ttsrl.evaluation.bootstrap import PairedBootstrap, paired_bootstrap
from ttsrl.evaluation.report.comparison import percent, signed_percent
from ttsrl.evaluation.report.inputs import Evaluation, RunFolder, read_run_folder
from ttsrl.evaluation.summary import mean_by_text
from ttsrl.records.evaluation import GREEDY, SAMPLED, EvaluationRow

PAGE = Path("docs/evidence.md")
ASSETS = Path("docs/assets")
BEGIN, END = "<!-- rows -->", "<!-- end of rows -->"
"""What stands between them in the page is written here; the rest is written by hand."""
SAMPLES = 2000
"""Of the bootstrap."""


@dataclass(frozen=True)
class Row:
    """One run that has been evaluated before and after."""

    name: str
    folder: RunFolder
    before: Evaluation
    after: Evaluation

    def heard(self, judge: str, mode: str) -> PairedBootstrap | None:
        """The CER before and after, over the texts of which the judge has a verdict in both."""

        def rate(row: EvaluationRow) -> float | None:
            verdict = row.judges.get(judge)
            return verdict and verdict.cer

        values = [mean_by_text(side.of_mode(mode), rate) for side in (self.before, self.after)]
        both = sorted(values[0].keys() & values[1].keys())
        if not both:
            return None
        return paired_bootstrap(*([side[i] for i in both] for side in values), samples=SAMPLES)

    @property
    def judges(self) -> list[str]:
        return [judge.name for judge in self.before.report.judges]


def main() -> None:
    """Read what has been run, write the page's rows and its charts."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--runs", type=Path, default=FOLDER, help="one folder a row")
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--assets", type=Path, default=ASSETS)
    asked = parser.parse_args()
    found = list(read(asked.runs))
    if not found:
        raise BadInput(f"no row in {asked.runs} has both evaluations; run examples.voice.rows")
    head, tail = around_rows(asked.page)
    lines = [*table(found), "", *steps(found)]
    asked.page.write_text("\n".join([f"{head}{BEGIN}", *lines, f"{END}{tail}"]), encoding="utf-8")
    curves = {
        row.name: [(s.step, s.raw["cer"]) for s in row.folder.steps if "cer" in s.raw]
        for row in found
    }
    (asked.assets / "voice-steps.svg").write_text(evidence_charts.steps(curves), encoding="utf-8")
    points = {row.name: _falls(row) for row in found}
    known = {name: fall for name, fall in points.items() if fall}
    if known:
        chart = evidence_charts.falls(known)
        (asked.assets / "voice-judges.svg").write_text(chart, encoding="utf-8")


def around_rows(page: Path) -> tuple[str, str]:
    """What stands before and after the rows of a page. Raises BadInput."""
    text = page.read_text(encoding="utf-8") if page.is_file() else ""
    head, begun, rest = text.partition(BEGIN)
    _, ended, tail = rest.partition(END)
    if not begun or not ended:
        raise BadInput(f"{page} has no place for the rows: give a page with {BEGIN} and {END}")
    return head, tail


def read(folder: Path) -> Iterator[Row]:
    """The rows that are there, in the order of rows.json. Raises BadInput."""
    for name in rows():
        if not (folder / name / "run.json").is_file():
            continue
        run = read_run_folder(folder / name)
        if run.before and run.after:
            yield Row(name, run, run.before, run.after)


def table(found: Sequence[Row]) -> list[str]:
    """Markdown: each row as every judge hears it."""
    judges = list(dict.fromkeys(judge for row in found for judge in row.judges))
    columns = [(j, mode) for j in judges for mode in (SAMPLED, GREEDY)]
    kept = [(j, mode) for j, mode in columns if any(row.heard(j, mode) for row in found)]
    head = ["run", "changed", "steps", "texts", *(f"{j}, {mode}" for j, mode in kept)]
    head += ["ended", "mean s"]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for row in found:
        texts = len({one.index for one in row.after.rows})
        cells = [row.name, changed(row.name), f"{len(row.folder.steps)}", f"{texts}"]
        cells += [_cell(row.heard(j, mode)) for j, mode in kept]
        cells += [_ended(row), _lasts(row)]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def steps(found: Sequence[Row]) -> list[str]:
    """Markdown: what a row's steps took, and what its rollouts were like at both ends."""
    head = [
        "run",
        "reward",
        "CER of rollouts",
        "entropy",
        "pitch spread",
        "seconds per step",
        "rollouts per step",
    ]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for row in found:
        log = row.folder.steps
        first, last = log[:5], log[-5:]
        cells = [
            row.name,
            *(
                f"{fmean(a):.{d}f} -> {fmean(b):.{d}f}" if a and b else "-"
                for d, a, b in (
                    (3, _all(s.reward for s in first), _all(s.reward for s in last)),
                    (
                        3,
                        _all(s.raw.get("cer") for s in first),
                        _all(s.raw.get("cer") for s in last),
                    ),
                    (2, _all(s.entropy for s in first), _all(s.entropy for s in last)),
                    (2, *(_all(s.raw.get("pitch_spread") for s in part) for part in (first, last))),
                )
            ),
            f"{fmean(s.seconds for s in log[1:] or log):.1f}",
            f"{log[-1].rollouts}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def changed(name: str) -> str:
    """What a row changes, in a few words."""
    said = [f"`{key}` = {value}" for key, value in rows()[name].items() if key != "seed"]
    return "; ".join(said) or f"seed {rows()[name]['seed']}"


def kin_and_unlike(run: RunConfig) -> tuple[str, str]:
    """The judge that gave the reward, and the first of another kind. Raises BadInput."""
    kin = [judge.name for judge in run.eval.judges if judge.used_in_reward]
    unlike = [judge.name for judge in run.eval.judges if judge.type != "whisper"]
    if not kin or not unlike:
        raise BadInput("a row needs the reward's own judge (used_in_reward) and an unlike one")
    return kin[0], unlike[0]


def _falls(row: Row) -> evidence_charts.Falls | None:
    kin, unlike = (row.heard(j, SAMPLED) for j in kin_and_unlike(row.folder.run))
    if not kin or not unlike or not kin.relative_change or not unlike.relative_change:
        return None
    return kin.relative_change, unlike.relative_change


def _cell(heard: PairedBootstrap | None) -> str:
    if heard is None:
        return "not measured"
    move = f"{percent(heard.before.value)} -> {percent(heard.after.value)}"
    if (change := heard.relative_change) is None:
        return move
    return f"{move} ({signed_percent(change.low)} to {signed_percent(change.high)})"


def _ended(row: Row) -> str:
    return " -> ".join(
        percent(fmean(one.finished for one in side.of_mode(SAMPLED)))
        for side in (row.before, row.after)
    )


def _lasts(row: Row) -> str:
    return " -> ".join(
        f"{fmean(one.duration_s for one in side.of_mode(SAMPLED)):.2f}"
        for side in (row.before, row.after)
    )


def _all(values: Iterator[float | None]) -> list[float]:
    return [value for value in values if value is not None]


if __name__ == "__main__":
    main()
