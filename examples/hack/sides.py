"""What the two runs of a trick have left: with guards, and without."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from examples.hack.tricks import JUDGE, Trick
from ttsrl.config.load import load_run
from ttsrl.config.schema import RunConfig
from ttsrl.evaluation.report.inputs import Evaluation
from ttsrl.records.during import CHANGE, FOLDER, ChangeFromBase, MetricChange
from ttsrl.records.evaluation import SAMPLED
from ttsrl.records.guard import GUARDS, GuardEvent
from ttsrl.records.record import read_file, read_lines
from ttsrl.records.step import TrainingStep
from ttsrl.reward.audited import missed
from ttsrl.wire import AuditReport

GUARDED, UNGUARDED = "guarded", "unguarded"
SIDES = {GUARDED: "with guards", UNGUARDED: "without guards"}
"""Folder -> what the page calls it."""
LIMIT = 0.1
"""CER above the base's, before which a guard is to stop the run."""


@dataclass(frozen=True)
class Side:
    """A run, and what the judge heard of its checkpoints."""

    name: str
    run: RunConfig
    steps: list[TrainingStep]
    heard: list[tuple[int, MetricChange]]
    """Step -> CER of sampled held-out speech, against the base."""
    base: Evaluation
    last: Evaluation
    """Of the newest checkpoint that was evaluated."""
    stopped: GuardEvent | None
    unnoticed: list[str]
    """Ways of spoiling speech that the audit found to be paid as much as clean speech."""

    @property
    def end(self) -> MetricChange:
        """What the judge heard of the last model."""
        return self.heard[-1][1]

    @property
    def verdict(self) -> str:
        """How it ended, in one line."""
        moved = f"{100 * self.end.difference.value:+.1f} points of held-out CER"
        if self.stopped is None:
            return f"{self.name}: {moved} after {self.steps[-1].step} steps"
        return (
            f"{self.name}: stopped by {self.stopped.guard} at step {self.steps[-1].step}, {moved}"
        )

    @property
    def was_stopped_in_time(self) -> bool:
        """Whether a guard ended it before its speech was `LIMIT` worse than the base's."""
        return self.stopped is not None and self.end.difference.value < LIMIT


def of_seed(out: Path, seed: int) -> Path:
    """Where the runs of a seed are; the first one's are those that the page shows and plays."""
    return out if seed == 1 else out / f"seed_{seed}"


def read_seeds(trick: Trick, out: Path) -> dict[int, list[Side]]:
    """Seed -> the runs of a trick below `out` that have been evaluated, as far as there are any."""
    found: dict[int, list[Side]] = {}
    while sides := read_sides(trick, of_seed(out, len(found) + 1)):
        found[len(found) + 1] = sides
    return found


def read_sides(trick: Trick, out: Path) -> list[Side]:
    """The runs of a trick below `out` that have been evaluated."""
    folders = [out / trick.name / name for name in SIDES]
    return [side for folder in folders if (side := _read(folder)) is not None]


def _read(folder: Path) -> Side | None:
    heard = list(_heard(folder))
    if not heard:
        return None
    base, last = (Evaluation.read(_evaluated(folder, step)) for step in (0, heard[-1][0]))
    assert base is not None and last is not None, "what was heard is kept"
    run = load_run(folder / "run.json")
    events = read_lines(GuardEvent, folder / "train" / GUARDS)
    return Side(
        name=SIDES[folder.name],
        run=run,
        steps=read_lines(TrainingStep, folder / "train" / "steps.jsonl"),
        heard=heard,
        base=base,
        last=last,
        stopped=next((e for e in events if e.event == "tripped" and e.then == "stop"), None),
        unnoticed=list(_unnoticed(run)),
    )


def _evaluated(folder: Path, step: int) -> Path:
    return folder / FOLDER / f"step_{step:06d}"


def _heard(folder: Path) -> Iterator[tuple[int, MetricChange]]:
    for file in sorted((folder / FOLDER).glob(f"step_*/{CHANGE}")):
        change = read_file(ChangeFromBase, file)
        if change is not None and (cer := change.metrics[f"cer/{JUDGE}"][SAMPLED]) is not None:
            yield change.step, cer


def _unnoticed(run: RunConfig) -> Iterator[str]:
    """The audit's report lies in the storage of the run, by the hash of its reward."""
    for file in Path(run.storage).glob("audits/*/*.json"):
        report = AuditReport.model_validate_json(file.read_text(encoding="utf-8"))
        yield from missed(report, run.reward, run.guards.audit_allows)
