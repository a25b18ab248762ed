"""A run's folder that grows as training would have it, and the processes that tell trackers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from support.paths import ROOT
from support.records import report_of, row_of, step_of
from ttsrl.config.load import dump_run, load_run
from ttsrl.records.evaluation import REPORT, ROWS
from ttsrl.records.guard import GUARDS, GuardEvent
from ttsrl.records.record import append_lines, parse, read_lines, to_text, write_lines
from ttsrl.records.rollout import RolloutSample
from ttsrl.records.step import TrainingStep
from ttsrl.records.tracking import TrackersStatus, TrackerStatus
from ttsrl.runtime.job import Job
from ttsrl.storage.run_store import RunStore
from ttsrl.tracking.follow import status_file, tell_rest

DEADLINE_S = 300.0
CERS = {"before": (0.5, 0.6), "after": (0.1, 0.2)}


class TrackedRun:
    """The tiny run with some trackers, below a folder."""

    def __init__(self, folder: Path, trackers: list[object]) -> None:
        self.folder = folder / "run"
        (self.folder / "train").mkdir(parents=True)
        overrides = [f"trackers={json.dumps(trackers)}", f"storage={folder / 'storage'}"]
        self.run = load_run(ROOT / "examples/tiny/run.json", [*overrides, "train.steps=4"])
        self.config = self.folder / "run.json"
        self.config.write_text(dump_run(self.run))
        self.store = RunStore(self.run.storage, self.run.name)
        self.store.storage.write_json(self.store.reward_json, {"spec_hash": "abc"})

    def log(self, *steps: int, **figures: object) -> None:
        """Steps end; each has a rollout that was heard and one that was gated."""
        train = self.folder / "train"
        for step in steps:
            append_lines(train / "rollouts.jsonl", samples_of(step))
            append_lines(train / "steps.jsonl", [logged_step(step, **figures)])

    def evaluate(self, name: str) -> None:
        """An evaluation of the held-out texts ends: `before` or `after`."""
        folder = self.folder / "eval" / name
        folder.mkdir(parents=True)
        judge = self.run.eval.judges[0].name
        rows = [
            row_of(index, {j.name: cer for j in self.run.eval.judges}, mode="sampled")
            for index, cer in enumerate(CERS[name])
        ]
        write_lines(folder / ROWS, rows)
        judges = [j.model_dump() for j in self.run.eval.judges]
        report = report_of({"sampled": {judge: sum(CERS[name]) / 2}}, judges=judges)
        (folder / REPORT).write_text(to_text(report))

    def trip(self, guard: str, step: int) -> None:
        """A guard of the run trips."""
        event = GuardEvent(
            event="tripped",
            guard=guard,
            then="warn",
            first=step,
            step=step,
            said=f"guard {guard} at step {step}: too far",
            at_s=1000.0 + step,
        )
        append_lines(self.folder / "train" / GUARDS, [event])

    def roll_back(self, to_step: int, at_step: int) -> None:
        """A guard of the run sets it back; the log is as it was."""
        event = GuardEvent(
            event="rolled_back",
            guard="kl",
            then="rollback",
            first=at_step,
            step=at_step,
            to_step=to_step,
            said=f"guard kl sets the run back to step {to_step}",
            at_s=2_000_000.0,
        )
        append_lines(self.folder / "train" / GUARDS, [event])

    def forget_after(self, step: int) -> None:
        """The trainer resumes: later steps leave the log."""
        for name, kind in (("steps", TrainingStep), ("rollouts", RolloutSample)):
            file = self.folder / "train" / f"{name}.jsonl"
            write_lines(file, [one for one in read_lines(kind, file) if one.step <= step])

    def follow(self) -> subprocess.Popen[bytes]:
        """The process that tells the trackers while training runs, to be killed by the test."""
        code = (
            "import sys; from pathlib import Path; from ttsrl.tracking.follow import follow; "
            "follow(Path(sys.argv[1]), Path(sys.argv[2]))"
        )
        log = (self.folder / "follow.log").open("ab")
        return subprocess.Popen(
            [sys.executable, "-c", code, self.config, self.folder],
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            start_new_session=True,
        )

    def tell_rest(self, patience_s: float = DEADLINE_S) -> None:
        """Tell the trackers what they have not got, to the end."""
        told = (self.config, self.folder, patience_s)
        job = Job("track", tell_rest, told, self.folder / "track.log")
        try:
            wait_for(lambda: not job.is_running())
        finally:
            job.stop()

    def status(self, name: str) -> TrackerStatus | None:
        """How a tracker is doing."""
        file = status_file(self.folder)
        if not file.exists():
            return None
        found = parse(TrackersStatus, file.read_bytes(), file).trackers
        return next((one for one in found if one.name == name), None)


def logged_step(step: int, **figures: object) -> TrainingStep:
    usual: dict[str, object] = {
        "raw": {"cer": 0.1 * step},
        "utilities": {"cer": 0.5},
        "kl": float("nan"),
        "gated_reasons": {"too_short": 1},
        "ended_at_s": 1_000_000.0 + step,
    }
    return step_of(step, **usual | figures)


def samples_of(step: int) -> list[RolloutSample]:
    return [
        RolloutSample(
            step=step,
            kind="best",
            text="four red tigers",
            speech_tokens=[1, 2, 3, 4] * 5,
            reward=0.9,
            transcript="four red",
            raw={"cer": 0.1},
            utilities={"cer": 0.9},
            duration_s=1.6,
        ),
        RolloutSample(
            step=step,
            kind="gated",
            text="two | dogs",
            speech_tokens=[5] * 20,
            reward=0,
            reason="too_short",
            duration_s=0.3,
        ),
    ]


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)
