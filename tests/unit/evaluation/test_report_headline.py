"""What the report says first of a run that a guard stopped, or that has no evaluation after it."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.paths import TINY
from support.records import step_of
from ttsrl.config.load import dump_run, load_run
from ttsrl.evaluation.report.headline import headline
from ttsrl.evaluation.report.inputs import read_run_folder
from ttsrl.evaluation.report.page import render
from ttsrl.records.best import BEST, BestModel
from ttsrl.records.during import CHANGE, ChangeEstimate, ChangeFromBase, MetricChange
from ttsrl.records.guard import GUARDS, GuardEvent
from ttsrl.records.record import to_text, write_lines

STOPPED = "Guard pitch stopped the run after step 3 of 60."


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "train").mkdir()
    (tmp_path / "run.json").write_text(dump_run(load_run(TINY / "run.json", ["train.steps=60"])))
    write_lines(tmp_path / "train" / "steps.jsonl", [step_of(step) for step in (1, 2, 3)])
    return tmp_path


def stop(folder: Path, digest: str = "") -> None:
    event = GuardEvent(
        event="tripped",
        guard="pitch",
        digest=digest,
        then="stop",
        first=2,
        step=2,
        said="x",
        at_s=1.0,
    )
    write_lines(folder / "train" / GUARDS, [event])


def hear(folder: Path, step: int, change: tuple[float, float, float]) -> None:
    value, low, high = change
    moved = MetricChange(
        before=ChangeEstimate(value=0.32, low=0.28, high=0.36),
        after=ChangeEstimate(value=0.32 + value, low=0.3, high=0.4),
        difference=ChangeEstimate(value=value, low=low, high=high),
        texts=96,
    )
    out = folder / "during" / f"step_{step:06d}"
    out.mkdir(parents=True)
    metrics: dict[str, dict[str, MetricChange | None]] = {"cer/judge": {"sampled": moved}}
    (out / CHANGE).write_text(to_text(ChangeFromBase(step=step, metrics=metrics)))


def said(folder: Path) -> list[str]:
    return headline(read_run_folder(folder), None)


def test_the_guard_that_stopped_the_run_and_the_model_to_use_come_first(folder: Path) -> None:
    assert said(folder)[0].startswith("What GRPO changed is not known yet")
    stop(folder)
    assert said(folder)[0] == STOPPED
    best = BestModel(step=1, model="m", judge={}, scores={}, why="step 1 has the lowest CER")
    (folder / "during").mkdir()
    (folder / "during" / BEST).write_text(to_text(best))
    assert said(folder)[1] == "The best model: step 1 has the lowest CER."
    assert f'<p class="verdict">{STOPPED}</p>' in render(read_run_folder(folder))


def test_a_run_that_continues_with_another_guard_is_not_told_as_stopped(folder: Path) -> None:
    stop(folder, digest="of the guard as it was")
    assert STOPPED not in said(folder)
    pitch = next(g for g in read_run_folder(folder).armed.guards if g.name == "pitch")
    stop(folder, digest=pitch.digest)
    assert STOPPED in said(folder)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            (0.067, 0.033, 0.105),
            "raised the character error rate from 32.0 % to 38.7 % (+6.7 points; 95 % interval "
            "of the difference +3.3 to +10.5)",
        ),
        ((-0.1, -0.2, -0.05), "cut the character error rate from 32.0 % to 22.0 %"),
        ((0.1, -0.1, 0.2), "did not measurably change the character error rate: from 32.0 %"),
    ],
)
def test_without_an_evaluation_after_it_the_last_during_training_is_told(
    folder: Path, change: tuple[float, float, float], words: str
) -> None:
    hear(folder, 1, (0.0, -0.1, 0.1))
    hear(folder, 3, change)
    (sentence,) = said(folder)
    assert words in sentence
    assert sentence.endswith(
        "in sampled speech at step 3, the last that was evaluated while the run trained, on 96 "
        "held-out texts."
    )
