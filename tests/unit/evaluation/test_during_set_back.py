"""A guard sets the run back while its checkpoints are evaluated: no figure of a given-up one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from support.beside_training import (
    DURING,
    beside_training,
    publish_evaluation,
    write_evaluation,
)
from ttsrl.config.load import dump_run
from ttsrl.errors import Failure
from ttsrl.evaluation.best import best_checkpoint
from ttsrl.evaluation.during import measure
from ttsrl.evaluation.during.evaluator import CheckpointEvaluator
from ttsrl.evaluation.during.plan import local
from ttsrl.evaluation.merge import merge
from ttsrl.evaluation.published_measures import PublishedMeasures
from ttsrl.evaluation.report.inputs import read_run_folder
from ttsrl.records.during import CHANGE, ChangeFromBase
from ttsrl.records.evaluation import REPORT, EvaluationReport
from ttsrl.records.guard import GUARDS, GuardEvent
from ttsrl.records.record import parse, to_line, to_text
from ttsrl.records.tracking import Told
from ttsrl.storage.errors import GivenUpError
from ttsrl.storage.run_store import RunStore
from ttsrl.tracking.evaluations import Evaluations

BACK = json.dumps([{"name": "pitch", "then": "rollback"}])


def event(kind: Any, to: int) -> str:
    said = GuardEvent(
        event=kind, guard="g", then="rollback", first=5, step=6, to_step=to, said="bad", at_s=1.0
    )
    return f"{to_line(said)}\n"


def begin_set_back(store: RunStore, to: int) -> None:
    """As the supervisor does it: it is written down, then everything after the step is removed."""
    log = store.storage.read_text(store.guards_log) or ""
    store.storage.write_text(store.guards_log, log + event("rolling_back", to))
    store.take_back(to)


def set_back(store: RunStore, to: int) -> None:
    begin_set_back(store, to)
    log = store.storage.read_text(store.guards_log) or ""
    store.storage.write_text(store.guards_log, log + event("rolled_back", to))


class World:
    """A run with the checkpoints 2 and 6, and its follower, whose judging is the test's."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tmp_path = tmp_path
        self.evaluator: CheckpointEvaluator = beside_training(
            tmp_path, "train.steps=6", "train.save_every=2", f"guards.rules={BACK}"
        )
        self.store = self.evaluator.store
        self.on_judging: Callable[[], object] = lambda: None
        self.cer = 0.1
        self.judged: list[int] = []
        monkeypatch.setattr(self.evaluator, "_judging", self)
        self.store.storage.write_json(
            self.store.run_json, self.evaluator.run.model_dump(mode="json")
        )
        publish_evaluation(self.store, tmp_path / "e", 0, 0.3, DURING)
        for step in (2, 6):
            self.checkpoint(step, "old")

    def checkpoint(self, step: int, name: str) -> None:
        folder = self.tmp_path / f"{name}{step}"
        folder.mkdir()
        (folder / "weights").write_text(name)
        self.store.storage.publish(folder, self.store.checkpoint(step))

    def call(self, _: object, *arguments: Any) -> None:
        """What the process that speaks and judges does, without speech."""
        _, step, _, _, folder, rollbacks = arguments
        if step == 0:
            return
        self.judged.append(step)
        out = local(folder, step)
        write_evaluation(out, self.cer)
        (out / CHANGE).write_text(to_text(ChangeFromBase(step=step, metrics={"cer/judge": {}})))
        self.on_judging()
        measure.publish_evaluation(self.evaluator.plan, out, step, rollbacks)

    def stop(self) -> None:
        pass

    def report(self, step: int) -> EvaluationReport:
        key = f"{self.store.eval(DURING, step)}/{REPORT}"
        return parse(EvaluationReport, self.store.storage.read_text(key) or "", key)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(
        "ttsrl.evaluation.during.evaluator.note_of", lambda *_: "CER 10 %"
    )  # of figures that change.json has not
    return World(tmp_path, monkeypatch)


def once(action: Callable[[], object]) -> Callable[[], object]:
    """The action, the first time alone."""
    left = [action]
    return lambda: left and left.pop()()


def anew(world: World) -> None:
    """What a rollback does in the middle of the evaluation of step 6; then step 6 comes again."""
    set_back(world.store, 2)
    world.checkpoint(6, "new")
    world.cer = 0.25


def test_an_evaluation_under_way_is_not_published_and_the_new_checkpoint_is_evaluated(
    world: World,
) -> None:
    world.on_judging = once(lambda: anew(world))
    world.evaluator.follow()
    assert world.judged == [6, 6, 2]
    assert world.store.list_evaluated(DURING) == [0, 2, 6]
    report = world.report(6)
    assert (report.modes["sampled"].judges["judge"].mean_cer, report.rollbacks) == (0.25, 1)
    assert world.evaluator.skipped == {}


def test_one_that_is_published_while_the_rollback_removes_is_taken_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = world.store.storage
    publish, act = storage.publish, once(lambda: anew(world))

    def late(folder: Path, prefix: str) -> None:
        if prefix == world.store.eval(DURING, 6):
            act()  # it has listed what there is, and does not see what comes now
        publish(folder, prefix)

    monkeypatch.setattr(storage, "publish", late)
    world.evaluator.follow()
    assert world.judged == [6, 6, 2]
    assert (world.report(6).rollbacks, world.report(2).rollbacks) == (1, 1)


def test_what_is_given_up_while_it_is_published_does_not_stay(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, publish = world.store, world.store.storage.publish
    monkeypatch.setattr(
        store.storage, "publish", lambda *about: (set_back(store, 2), publish(*about))
    )
    with pytest.raises(GivenUpError, match="made of the checkpoint of step 6 before"):
        store.publish_of_step(world.tmp_path / "old6", store.model(6), 6, since=0)
    assert store.list_models() == []


def test_a_checkpoint_that_went_while_it_was_read_is_not_skipped_for_good(world: World) -> None:
    def gone() -> None:
        anew(world)
        raise Failure("nothing complete is published there")

    world.on_judging = once(gone)
    world.evaluator.follow()
    assert world.evaluator.skipped == {}
    assert world.evaluator.failures == 0, "the rollback is not the evaluation's fault"
    assert world.report(6).rollbacks == 1


def test_what_failed_before_a_rollback_is_tried_again_after_it(world: World) -> None:
    evaluator = world.evaluator
    evaluator.heed_set_backs()
    evaluator.skipped = {2: "broken", 6: "broken"}
    kept = [evaluator.models.of(step) for step in (2, 6)]
    set_back(world.store, 2)
    evaluator.heed_set_backs()
    assert evaluator.skipped == {2: "broken"}
    assert [model.is_dir() for model in kept] == [True, False]


def test_while_a_rollback_removes_nothing_of_what_it_gives_up_is_evaluated(world: World) -> None:
    log = world.store.guards_log
    world.store.storage.write_text(log, event("rolling_back", 2))
    assert world.evaluator.plan.left([], has_ended=True) == [2]
    world.store.storage.write_text(log, event("rolling_back", 2) + event("rolled_back", 2))
    assert world.evaluator.plan.left([], has_ended=True) == [6, 2]


def killed_before_it_looked(world: World) -> None:
    """A follower published step 6 during a rollback and was killed before it saw that."""
    set_back(world.store, 2)
    for out, step in ((world.tmp_path / "killed", 6), (world.tmp_path / "killed2", 2)):
        write_evaluation(out, 0.3 - 0.02 * step, rollbacks=0)
        world.store.storage.publish(out, world.store.eval(DURING, step))


def test_nobody_reads_what_a_killed_follower_left_behind_and_the_next_one_removes_it(
    world: World,
) -> None:
    killed_before_it_looked(world)
    run, store = world.evaluator.run, world.store
    assert store.list_evaluated(DURING) == [0, 2, 6]
    assert sorted(PublishedMeasures(run, store, during_training=True).look()) == [0, 2]
    assert best_checkpoint(run, store, DURING) == 2
    (world.tmp_path / "run.json").write_text(dump_run(run))
    notes = Evaluations(run, world.tmp_path, store).notes(Told())
    assert [(note.suite, note.step) for note in notes] == [(DURING, 0), (DURING, 2)]

    world.evaluator.heed_set_backs()
    assert store.list_evaluated(DURING) == [0, 2]


def test_the_report_leaves_out_what_was_heard_of_a_given_up_checkpoint(world: World) -> None:
    folder = world.tmp_path
    (folder / "run.json").write_text(dump_run(world.evaluator.run))
    (folder / "train").mkdir()
    world.evaluator.follow()
    assert [change.step for change in read_run_folder(folder).changes] == [2, 6]
    (folder / "train" / GUARDS).write_text(event("rolling_back", 2) + event("rolled_back", 2))
    assert [change.step for change in read_run_folder(folder).changes] == [2]


def test_the_best_model_is_not_published_once_its_checkpoint_is_given_up(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.evaluator.heed_set_backs()
    for step, cer in {2: 0.2, 6: 0.1}.items():
        publish_evaluation(world.store, world.tmp_path / "e", step, cer, DURING)
    merged = world.evaluator.models.of

    def late(step: int) -> Path:
        model = merged(step)
        set_back(world.store, 2)
        return model

    world.evaluator.models.of = late  # type: ignore[method-assign]
    world.evaluator.point_to_best()
    assert world.store.list_models() == []
    assert "a guard has set the run back" in capsys.readouterr().out


def test_a_merge_by_hand_is_not_published_once_its_checkpoint_is_given_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(store: RunStore, step: int, model: Path) -> None:
        model.mkdir()
        (model / "config.json").write_text("{}")
        set_back(store, 2)

    monkeypatch.setattr("ttsrl.evaluation.merge.merge_checkpoint", late)
    with pytest.raises(GivenUpError, match="made of the checkpoint of step 6 before"):
        merge(world.store, world.tmp_path / "work", 6)
    assert world.store.list_models() == []


def test_the_last_checkpoint_is_no_end_where_a_guard_may_set_the_run_back(world: World) -> None:
    looks: list[list[int]] = []

    def has_ended() -> bool:
        evaluated = world.store.list_evaluated(DURING)
        if evaluated != [0, 2, 6]:
            return False
        looks.append(evaluated)
        if len(looks) == 2:  # a little after the last checkpoint was evaluated
            anew(world)
        return len(looks) > 3

    world.evaluator.beside = replace(world.evaluator.beside, has_ended=has_ended, poll_s=0.0)
    world.evaluator.follow()
    assert world.report(6).rollbacks == 1
