"""What a run has left in its folder so far; every part but run.json may be missing."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

from ttsrl.config.load import load_run
from ttsrl.config.schema import RunConfig
from ttsrl.errors import BadInput
from ttsrl.evaluation.given_up import is_given_up
from ttsrl.guards.armed import Armed, armed
from ttsrl.models.kinship import as_said_now, verdict_judge
from ttsrl.records import listening
from ttsrl.records.best import BEST, BestModel
from ttsrl.records.during import CHANGE, FOLDER, ChangeFromBase
from ttsrl.records.evaluation import REPORT, ROWS, EvaluationReport, EvaluationRow
from ttsrl.records.guard import GUARDS, GuardEvent, SetBacks
from ttsrl.records.listening import ListenersChoice, LlmChoice
from ttsrl.records.record import read_file, read_lines
from ttsrl.records.rollout import RolloutSample
from ttsrl.records.step import TimelineEvent, TrainingStep

VERL = "verl.json"
"""In a run's `train` folder: the keys that verl was started with."""


@dataclass(frozen=True)
class Evaluation:
    """A finished evaluation."""

    folder: Path
    report: EvaluationReport
    rows: list[EvaluationRow]

    @classmethod
    def read(cls, folder: Path) -> Evaluation | None:
        """The evaluation in a folder; None where none is finished. Raises BadInput."""
        report = read_file(EvaluationReport, folder / REPORT)
        return report and cls(folder, report, read_lines(EvaluationRow, folder / ROWS))

    def of_mode(self, mode: str) -> list[EvaluationRow]:
        return [row for row in self.rows if row.mode == mode]

    @classmethod
    def of_run(cls, run: RunConfig, folder: Path) -> Evaluation | None:
        """The same, its judges' kinship as the run says it. Raises BadInput."""
        found = cls.read(folder)
        return found and replace(found, report=as_said_now(run, found.report))


@dataclass(frozen=True)
class RunFolder:
    """A run's folder, read once."""

    path: Path
    run: RunConfig
    before: Evaluation | None
    after: Evaluation | None
    suites: list[tuple[Evaluation, Evaluation]]
    """Before and after of each suite that was evaluated twice."""
    changes: list[ChangeFromBase]
    """Of the checkpoints that were evaluated beside training, by step."""
    steps: list[TrainingStep]
    rollouts: list[RolloutSample]
    timeline: list[TimelineEvent]
    guards: list[GuardEvent]
    best: BestModel | None
    """The model to use, where the evaluation beside training has chosen one."""
    choice: ListenersChoice | None
    """What listeners chose, once `ttsrl prefer count` has counted."""
    llm_choice: LlmChoice | None
    """What an audio-LLM chose, once `ttsrl prefer ask` has asked it."""

    @property
    def judge(self) -> str:
        """Name of the judge on which the verdict rests."""
        side = self.after or self.before
        return (side.report.verdict_judge if side else verdict_judge(self.run)).name

    @property
    def armed(self) -> Armed:
        """The guards that watched the run, on the device that it trained on."""
        return armed(self.run, self._device)

    @property
    def _device(self) -> str:
        """As the last start told verl; else as the run names it, or as its steps let conclude."""
        if told := verl_device(self.path / "train"):
            return told
        if self.run.train.device != "auto":
            return self.run.train.device
        logged = any(step.rollout_kl is not None for step in self.steps)
        return "cuda" if logged or _watches_rollout_kl(self.run) else "cpu"


def _watches_rollout_kl(run: RunConfig) -> bool:
    """Whether a guard of the run's own does: on a CPU its start may have been refused."""
    rules = run.guards.rules
    measures = {condition.measure for rule in rules for condition in rule.when or []}
    return "rollout_kl" in measures | {rule.name for rule in rules}


def verl_device(train: Path) -> str | None:
    """The device in the keys that verl was started with; None where no start has left any."""
    file = train / VERL
    if not file.is_file():
        return None
    try:
        return json.loads(file.read_text(encoding="utf-8")).get("trainer.device")
    except ValueError as error:
        raise BadInput(f"{file} is not JSON: {error}; remove it, the page does without") from None


def read_run_folder(path: Path) -> RunFolder:
    """Read a run's folder. Raises BadInput where there is no run in it."""
    if not (path / "run.json").is_file():
        raise BadInput(f"no run in {path}: run.json is missing; give the run's own folder")
    run = load_run(path / "run.json")
    guards = read_lines(GuardEvent, path / "train" / GUARDS)
    return RunFolder(
        path=path,
        run=run,
        before=Evaluation.of_run(run, path / "eval" / "before"),
        after=Evaluation.of_run(run, path / "eval" / "after"),
        suites=[
            (before, after)
            for suite in run.eval.suites
            for folder in [path / "eval" / suite.name]
            if (before := Evaluation.of_run(run, folder / "before"))
            and (after := Evaluation.of_run(run, folder / "after"))
        ],
        changes=[
            change
            for file in sorted((path / FOLDER).glob(f"step_*/{CHANGE}"))
            if (change := read_file(ChangeFromBase, file))
            and not is_given_up(file.parent, SetBacks.of(guards))
        ],
        steps=read_lines(TrainingStep, path / "train" / "steps.jsonl"),
        rollouts=read_lines(RolloutSample, path / "train" / "rollouts.jsonl"),
        timeline=read_lines(TimelineEvent, path / "train" / "timeline.jsonl"),
        guards=guards,
        best=read_file(BestModel, path / FOLDER / BEST),
        choice=read_file(ListenersChoice, path / listening.FOLDER / listening.CHOICE),
        llm_choice=read_file(LlmChoice, path / listening.FOLDER / listening.LLM_CHOICE),
    )
