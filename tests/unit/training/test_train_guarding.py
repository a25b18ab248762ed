"""What the supervisor's guards do about a run: say it, ask for the end, remember it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from support.paths import TINY
from support.records import step_of
from ttsrl.config.load import load_run
from ttsrl.errors import Stopped
from ttsrl.records.record import to_line
from ttsrl.storage.run_store import RunStore
from ttsrl.training.guarding import STOP_FILE, GuardWatch
from ttsrl.training.machines import TRACKER

SHORT = {
    "name": "short",
    "when": [{"measure": "end_token_rate", "below": 0.5}],
    "in_a_row": 2,
    "then": "stop",
    "advice": "make it longer",
}


class SupervisedRun:
    """A run's folder and storage; each `start` is what a start of its supervisor has."""

    def __init__(self, folder: Path) -> None:
        self.store = RunStore(str(folder / "storage"), "quickstart")
        self.train_dir = folder / "train"
        self.train_dir.mkdir()
        self.published = folder / "checkpoint"

    def start(self, *rules: dict[str, Any], step: int = 0) -> GuardWatch:
        watch = self.start_over(*rules)
        watch.resume(step)
        return watch

    def start_over(self, *rules: dict[str, Any], settings: Sequence[str] = ()) -> GuardWatch:
        given = [
            *settings,
            f"guards.rules={json.dumps(rules)}",
            "guards.built_in=false",
            *([] if settings else ["eval.during_training={}"]),
        ]
        return GuardWatch(load_run(TINY / "run.json", given), self.store, self.train_dir)

    def publish(self, watch: GuardWatch, step: int, rates: list[float]) -> None:
        """A checkpoint of a step, and the log up to it."""
        (self.published / "log").mkdir(parents=True, exist_ok=True)
        lines = [to_line(step_of(n, end_token_rate=rate)) for n, rate in enumerate(rates, 1)]
        (self.published / "log" / "steps.jsonl").write_text("".join(f"{x}\n" for x in lines))
        self.store.storage.remove(self.store.checkpoint(step))
        self.store.storage.publish(self.published, self.store.checkpoint(step))

    @property
    def asked_to_stop(self) -> bool:
        return (self.train_dir / STOP_FILE).exists()


@pytest.fixture
def run(tmp_path: Path) -> SupervisedRun:
    return SupervisedRun(tmp_path)


def feed(watch: GuardWatch, rates: list[float], first: int = 1) -> None:
    for number, rate in enumerate(rates, first):
        watch.on_step(step_of(number, end_token_rate=rate))


RATES = [1.0, 1.0, 1.0, 0.4, 0.4, 0.4]


def test_a_warning_is_said_once_and_again_after_it_was_good(
    run: SupervisedRun, capsys: pytest.CaptureFixture[str]
) -> None:
    watch = run.start(SHORT | {"then": "warn"})
    feed(watch, [*RATES, 1.0, 0.4, 0.4])
    said = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in said] == [
        "guard short at step 5",
        "guard short at step 7",
        "guard short at step 9",
    ]
    assert not run.asked_to_stop
    watch.end()


def test_a_stop_asks_the_trainer_and_ends_with_guard_figures_and_way_out(
    run: SupervisedRun,
) -> None:
    watch = run.start(SHORT)
    feed(watch, RATES[:4])
    assert not run.asked_to_stop
    feed(watch, RATES[4:], first=5)
    assert run.asked_to_stop
    run.publish(watch, 6, RATES)
    with pytest.raises(Stopped) as stopped:
        watch.end()
    assert str(stopped.value) == (
        "guard short at step 5: end_token_rate is 0.4, below 0.5: make it longer; the checkpoint "
        "of step 6 is published; to continue from it all the same, change the guard in "
        "guards.rules, and the same command resumes"
    )


def test_it_says_so_again_on_any_machine_until_the_guard_is_changed(run: SupervisedRun) -> None:
    watch = run.start(SHORT)
    feed(watch, RATES)
    run.publish(watch, 6, RATES)
    for file in run.train_dir.iterdir():  # another machine has nothing but storage
        file.unlink()
    for _ in range(2):
        with pytest.raises(Stopped, match="guard short at step 5"):
            run.start(SHORT, step=6)
    changed = SHORT | {"when": [{"measure": "end_token_rate", "below": 0.3}]}
    watch = run.start(changed, step=6)
    assert not run.asked_to_stop
    # what is known of the steps before counts
    feed(watch, [0.2], first=7)
    assert watch.stop is None
    feed(watch, [0.2], first=8)
    assert watch.stop is not None
    # and the old one does not come back
    assert run.start(SHORT | {"then": "warn"}, step=6).stop is None


def test_a_stop_whose_checkpoint_was_never_published_is_found_again(run: SupervisedRun) -> None:
    watch = run.start(SHORT)
    feed(watch, RATES)
    run.publish(watch, 3, RATES[:3])
    watch = run.start(SHORT, step=3)  # killed before the checkpoint of step 6 was there
    assert not run.asked_to_stop
    assert watch.events == []
    feed(watch, RATES[3:], first=4)
    assert watch.stop is not None
    assert watch.stop.step == 5


def rolled_back(run: SupervisedRun, *, killed: bool) -> GuardWatch:
    """A run that a guard sets back, and the start after it, which a kill may have come before."""
    back = SHORT | {"then": "rollback"}
    watch = run.start(back)
    run.publish(watch, 2, RATES[:2])
    run.publish(watch, 3, RATES[:3])
    feed(watch, RATES)
    assert watch.rollback is not None
    run.publish(watch, 6, RATES)
    for checkpoint in (2, 6):
        (run.train_dir / "checkpoints" / f"global_step_{checkpoint}").mkdir(parents=True)
    (run.train_dir / "checkpoints" / TRACKER).write_text("6")
    watch.begin_rollback()
    if killed:
        run.store.storage.remove(run.store.checkpoint(6))  # as far as it came
        (run.train_dir / "guards.jsonl").unlink()  # and another machine goes on
    again = run.start_over(back)
    again.finish_rollback()
    return again


@pytest.mark.parametrize("killed", [False, True])
def test_a_rollback_goes_to_the_last_good_checkpoint_and_a_kill_does_not_leave_it_half_done(
    run: SupervisedRun, *, killed: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    watch = rolled_back(run, killed=killed)
    assert run.store.list_checkpoints() == [2, 3]
    assert run.store.storage.read_json(run.store.latest) == {
        "step": 3,
        "checkpoint": run.store.checkpoint(3),
    }
    assert watch.learning_rate_ratio == 0.5
    assert (
        "guard short sets the run back to step 3; learning rate 0.0002" in capsys.readouterr().out
    )
    watch.resume(3)
    again = run.start_over(SHORT | {"then": "rollback"})
    again.finish_rollback()  # is done, and not done twice
    assert again.rollbacks == 1
    assert run.store.list_checkpoints() == [2, 3]


def test_a_rollback_passes_over_a_checkpoint_that_broke_another_guard(run: SupervisedRun) -> None:
    still = {"name": "still", "when": [{"measure": "entropy", "below": 0.1}], "in_a_row": 1}
    watch = run.start(SHORT | {"then": "rollback"}, still)
    for checkpoint in (2, 4, 5):
        run.publish(watch, checkpoint, RATES)
    for number in range(1, 8):
        rate, entropy = 0.4 if number > 5 else 1.0, 0.01 if number == 5 else 1.0
        watch.on_step(step_of(number, end_token_rate=rate, entropy=entropy))
    watch.begin_rollback()
    assert watch.events[-1].to_step == 4


OURS = (
    'eval.suites=[{"name": "ours", "type": "jsonl", "path": "texts.jsonl", "language": "en"}]',
    "eval.during_training.suite=ours",
)


@pytest.mark.parametrize(("suite", "settings"), [("held_out", ()), ("ours", OURS)])
def test_a_rollback_goes_to_the_checkpoint_that_is_heard_best(
    run: SupervisedRun, suite: str, settings: Sequence[str]
) -> None:
    watch = run.start_over(SHORT | {"then": "rollback"}, settings=settings)
    watch.resume(0)
    for checkpoint in (2, 3, 4, 5):
        run.publish(watch, checkpoint, RATES)
    heard = {2: 0.3, 3: 0.1, 4: 0.2, 5: 0.05}  # 5 is heard best of all, and is a bad step
    watch.on_evaluations({step: {f"eval.{suite}.cer": cer} for step, cer in heard.items()})
    feed(watch, [1.0, 1.0, 1.0, 1.0, 0.4, 0.4])
    watch.begin_rollback()
    assert watch.events[-1].to_step == 3, "neither the newest nor the first"


def test_a_rollback_without_a_good_checkpoint_begins_anew(run: SupervisedRun) -> None:
    back = SHORT | {"then": "rollback"}
    watch = run.start(back)
    feed(watch, RATES)
    run.publish(watch, 5, RATES[:5])
    (run.train_dir / "checkpoints" / "global_step_5").mkdir(parents=True)
    (run.train_dir / "checkpoints" / TRACKER).write_text("5")
    watch.begin_rollback()
    again = run.start_over(back)
    again.finish_rollback()
    assert again.events[-1].to_step == 0
    assert run.store.list_checkpoints() == []
    assert run.store.storage.read_json(run.store.latest) is None
    assert not (run.train_dir / "checkpoints" / TRACKER).exists()
    again.resume(0)
    assert again.learning_rate_ratio == 0.5


def test_an_evaluation_sets_the_run_back_before_its_own_checkpoint(run: SupervisedRun) -> None:
    worse = {
        "name": "worse",
        "when": [{"measure": "eval.held_out.cer_change_low", "above": 0.0}],
        "then": "rollback",
    }
    watch = run.start(worse)
    for checkpoint in (2, 4, 6):
        run.publish(watch, checkpoint, RATES)
    feed(watch, [1.0] * 7)
    for step, moved in {2: -0.1, 4: -0.05, 6: 0.02}.items():
        measured = {"eval.held_out.cer": 0.3 + moved, "eval.held_out.cer_change_low": moved}
        watch.on_evaluations({step: measured})
    assert watch.rollback is not None
    assert (watch.rollback.first, watch.rollback.step) == (6, 6)
    watch.begin_rollback()
    assert watch.events[-1].to_step == 2
    again = run.start_over(worse)
    again.finish_rollback()
    assert run.store.list_checkpoints() == [2]


def test_after_the_last_rollback_the_guard_stops_the_run(run: SupervisedRun) -> None:
    back = SHORT | {"then": "rollback"}
    watch = rolled_back(run, killed=False)
    watch.resume(3)
    feed(watch, [1.0, 0.4, 0.4], first=4)
    run.publish(watch, 6, [*RATES[:3], 1.0, 0.4, 0.4])
    watch.begin_rollback()
    watch = run.start_over(back)
    watch.finish_rollback()
    assert watch.rollbacks == 2
    watch.resume(3)
    feed(watch, [0.4, 0.4], first=4)
    assert watch.rollback is None
    assert run.asked_to_stop
    run.publish(watch, 5, [*RATES[:3], 0.4, 0.4])
    with pytest.raises(Stopped, match="guard short at step 5"):
        run.start(back, step=5)


def test_an_evaluation_stops_a_run_that_has_gone_on_meanwhile(run: SupervisedRun) -> None:
    worse = {
        "name": "worse",
        "when": [{"measure": "eval.held_out.cer", "rises": 0.1}],
        "then": "stop",
    }
    watch = run.start(worse)
    feed(watch, [1.0] * 8)
    watch.on_evaluations({0: {"eval.held_out.cer": 0.2}, 4: {"eval.held_out.cer": 0.29}})
    assert watch.stop is None
    watch.on_evaluations({6: {"eval.held_out.cer": 0.31}})
    assert run.asked_to_stop
    assert watch.stop is not None
    assert "at the evaluation of step 6: eval.held_out.cer is 0.31" in watch.stop.said
