"""Which checkpoints are evaluated beside training, where, and what is refused before it starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.paths import TINY
from ttsrl.config.load import load_run
from ttsrl.config.schema import RunConfig
from ttsrl.errors import BadInput, Failure
from ttsrl.evaluation.during import beside, follow
from ttsrl.evaluation.during.beside import check_during_training, cuda_beside
from ttsrl.evaluation.during.follow import follow_here, standing_still
from ttsrl.evaluation.during.models import MergedBeside
from ttsrl.evaluation.during.plan import Plan, during_of
from ttsrl.records.during import EvaluatedLine
from ttsrl.records.guard import GuardEvent
from ttsrl.records.record import to_line
from ttsrl.runtime.machine import Gpu
from ttsrl.storage.run_store import RunStore
from ttsrl.training.noted_end import note_end, refusals_noted

JUDGES = (
    '[{"name": "own", "type": "ctc", "model": "judge"}, '
    '{"name": "rewards", "type": "whisper", "model": "whisper", "used_in_reward": true}]'
)


def run_of(tmp_path: Path, *overrides: str) -> RunConfig:
    usual = (f"storage={tmp_path / 'storage'}", f"eval.judges={JUDGES}", "train.save_every=10")
    return load_run(TINY / "run.json", [*usual, "train.steps=45", *overrides])


def plan_of(run: RunConfig, tmp_path: Path, checkpoints: list[int], evaluated: list[int]) -> Plan:
    """The plan of a run with these checkpoints and evaluations in storage."""
    plan = Plan(run, RunStore(run.storage, run.name))
    folder = tmp_path / "published"
    folder.mkdir()
    (folder / "file").write_text("")
    for step in checkpoints:
        plan.store.storage.publish(folder, plan.store.checkpoint(step))
    for step in evaluated:
        plan.store.storage.publish(folder, plan.key(step))
    return plan


def test_the_base_comes_first_and_then_the_newest_checkpoint(tmp_path: Path) -> None:
    run = run_of(tmp_path, "eval.during_training.every=1")
    plan = plan_of(run, tmp_path, [10, 20, 30], [])
    assert plan.left([], has_ended=False) == [0, 30, 20, 10]
    assert plan.left([20], has_ended=False) == [0, 30, 10]


def test_what_is_evaluated_is_not_evaluated_again(tmp_path: Path) -> None:
    run = run_of(tmp_path, "eval.during_training.every=1")
    plan = plan_of(run, tmp_path, [10, 20, 30], [0, 20, 30])
    assert plan.left([], has_ended=False) == [10]


def test_every_second_checkpoint_and_always_the_last_one(tmp_path: Path) -> None:
    run = run_of(tmp_path, "eval.during_training.every=2")
    plan = plan_of(run, tmp_path, [10, 20, 30, 40, 45], [0])
    assert plan.left([], has_ended=False) == [45, 40, 20]


def test_where_training_was_stopped_the_newest_checkpoint_is_the_last_one(tmp_path: Path) -> None:
    run = run_of(tmp_path, "eval.during_training.every=2")
    plan = plan_of(run, tmp_path, [10, 20, 30], [0, 20])
    assert plan.left([], has_ended=False) == []
    assert plan.left([], has_ended=True) == [30]


def test_its_evaluations_are_beside_those_of_the_whole_suite(tmp_path: Path) -> None:
    run = run_of(tmp_path, "eval.during_training.texts=8")
    plan = plan_of(run, tmp_path, [10], [0, 10])
    assert plan.store.list_evaluated("held_out") == []
    assert plan.store.list_evaluated("held_out.during") == [0, 10]


def test_a_run_that_does_not_ask_for_it_is_told_how(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"--set eval.during_training.every=1"):
        during_of(run_of(tmp_path))


def test_the_judges_are_those_that_gave_no_reward_or_those_that_are_named(tmp_path: Path) -> None:
    run = run_of(tmp_path, "eval.during_training={}")
    assert [judge.name for judge in run.eval.judges_during_training()] == ["own"]
    assert run_of(tmp_path).eval.judges_during_training() == []
    other = '{"name": "other", "type": "pocketsphinx", "model": "pocketsphinx"}'
    both = [f"eval.judges={JUDGES[:-1]}, {other}]", 'eval.during_training.judges=["other"]']
    assert [j.name for j in run_of(tmp_path, *both).eval.judges_during_training()] == ["other"]


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ('during_training.judges=["rewards"]', "'rewards', which gave the reward: .* independent"),
        ('during_training.judges=["owm"]', "'owm', .* no such judge; did you mean 'own'"),
        ("during_training.suite=held-out", "'held-out' is not among .* did you mean 'held_out'"),
        ("during_training.every=0", "every = 0: should be greater than or equal to 1"),
        ("during_training.texts=0", "texts = 0: should be greater than or equal to 1"),
        ("during_training.device=gpu", 'device = "gpu"'),
        ("during_training.steps=5", "during_training.steps: no such key"),
    ],
)
def test_a_wrong_setting_is_named_with_the_way_out(
    tmp_path: Path, override: str, said: str
) -> None:
    with pytest.raises(BadInput, match=said):
        run_of(tmp_path, f"eval.{override}")


def test_a_suite_whose_judges_all_gave_the_reward_is_refused(tmp_path: Path) -> None:
    judge = {"name": "w", "type": "whisper", "model": "whisper", "used_in_reward": True}
    suite = {"name": "ours", "type": "jsonl", "path": "texts.jsonl", "language": "en"}
    raw: dict[str, Any] = run_of(tmp_path).model_dump()
    raw["eval"] |= {"suites": [suite | {"judges": [judge]}], "during_training": {"suite": "ours"}}
    with pytest.raises(ValueError, match="every judge of suite 'ours' gave the reward"):
        RunConfig.model_validate(raw)


def test_a_judge_with_the_weights_of_the_reward_is_refused_before_training(tmp_path: Path) -> None:
    (tmp_path / "copy").symlink_to(TINY / "whisper")
    copied = '[{"name": "j", "type": "whisper", "model": "%s"}]' % (tmp_path / "copy")
    run = run_of(tmp_path, "eval.during_training={}", f"eval.judges={copied}")
    with pytest.raises(BadInput, match=r"judge 'j' .* has the weights of the model that gives"):
        check_during_training(run, gpus_of_training=0)


def on_machine_with(count: int, monkeypatch: pytest.MonkeyPatch, visible: str | None) -> None:
    found = [Gpu(f"{number} (a GPU)", 1, 1) for number in range(count)]
    monkeypatch.setattr(beside, "gpus", lambda: found)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)


@pytest.mark.parametrize(
    ("device", "gpus", "visible", "trained_on", "computes_on"),
    [
        ("auto", 0, None, 0, ""),
        ("auto", 1, None, 1, ""),
        ("auto", 2, None, 1, "1"),
        ("auto", 4, "2,5,6,7", 2, "7"),
        ("auto", 2, None, 0, "1"),
        ("cpu", 2, None, 1, ""),
        ("cuda:1", 2, None, 1, "1"),
        ("cuda:1", 2, "3,4", 1, "4"),
        ("auto", 0, "", 0, ""),
    ],
)
def test_it_computes_where_training_does_not(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    device: str,
    gpus: int,
    visible: str | None,
    trained_on: int,
    computes_on: str,
) -> None:
    on_machine_with(gpus, monkeypatch, visible)
    run = run_of(tmp_path, f"eval.during_training.device={device}")
    assert cuda_beside(run, trained_on) == computes_on


@pytest.mark.parametrize(
    ("device", "said"),
    [
        ("cuda:2", "cuda:2: this machine has 2 GPUs for ttsrl; name one of them, or cpu"),
        ("cuda:0", "cuda:0: training computes on the first 1 GPUs, .* another GPU, or cpu"),
    ],
)
def test_a_gpu_that_is_not_there_or_not_free_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, said: str
) -> None:
    on_machine_with(2, monkeypatch, None)
    run = run_of(tmp_path, f"eval.during_training.device={device}")
    with pytest.raises(BadInput, match=said):
        cuda_beside(run, 1)


def test_one_evaluation_works_in_a_folder(tmp_path: Path) -> None:
    config = tmp_path / "run.json"
    run = run_of(tmp_path, "eval.during_training={}")
    config.write_text(run.model_dump_json())
    with (
        follow.alone_in(tmp_path / "during"),
        pytest.raises(BadInput, match=r"evaluated in .*during already"),
    ):
        follow_here(config, tmp_path, "")


def test_a_training_stands_still_when_its_log_has_not_grown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 1_000.0
    monkeypatch.setattr(follow.time, "monotonic", lambda: now_s)
    run = run_of(tmp_path, "train.step_deadline_s=100")
    store = RunStore(run.storage, run.name)
    has_ended = standing_still(run, store, idle_s=1_000)
    assert not has_ended()
    now_s += 10_000
    assert not has_ended(), "a training that waits for machines has not begun"
    store.storage.write_text(store.steps_log, '{"step": 1}\n')
    now_s += 100
    assert not has_ended()
    now_s += 900
    assert not has_ended()
    store.storage.write_text(store.steps_log, '{"step": 1}\n{"step": 2}\n')
    now_s += 900
    assert not has_ended()
    now_s += 1_001
    assert has_ended()


def test_a_training_that_a_guard_stopped_has_ended_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 1_000.0
    monkeypatch.setattr(follow.time, "monotonic", lambda: now_s)
    run = run_of(tmp_path)
    store = RunStore(run.storage, run.name)
    has_ended = standing_still(run, store, idle_s=14_400)
    event = GuardEvent(
        event="tripped", guard="g", then="stop", first=1, step=2, said="stopped", at_s=1.0
    )
    store.storage.write_text(store.steps_log, '{"step": 2}\n')
    store.storage.write_text(store.guards_log, to_line(event) + "\n")
    assert not has_ended()
    now_s += 601
    assert has_ended()
    cleared = event.model_copy(update={"event": "cleared"})
    store.storage.write_text(store.guards_log, f"{to_line(event)}\n{to_line(cleared)}\n")
    now_s += 61
    assert not has_ended()


@pytest.mark.parametrize(("set_back", "ends"), [(1, False), (2, True)])
def test_a_training_ends_with_a_guard_that_may_not_set_it_back_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, set_back: int, *, ends: bool
) -> None:
    now_s = 1_000.0
    monkeypatch.setattr(follow.time, "monotonic", lambda: now_s)
    run = run_of(tmp_path)  # guards.max_rollbacks is 2
    store = RunStore(run.storage, run.name)
    tripped = GuardEvent(
        event="tripped", guard="g", then="rollback", first=1, step=2, said="bad", at_s=1.0
    )
    rolled = [
        tripped.model_copy(update={"event": event, "to_step": 1})
        for event in ("rolling_back", "rolled_back")
    ]
    events = [*[tripped, *rolled] * set_back, tripped]
    store.storage.write_text(store.steps_log, '{"step": 2}\n')
    store.storage.write_text(store.guards_log, "".join(f"{to_line(e)}\n" for e in events))
    has_ended = standing_still(run, store, idle_s=14_400)
    assert not has_ended()
    now_s += 601
    assert has_ended() is ends


def test_a_training_whose_start_was_refused_has_ended_before_its_first_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 1_000.0
    monkeypatch.setattr(follow.time, "monotonic", lambda: now_s)
    during = "eval.during_training.every=1"
    run, other = run_of(tmp_path, during), run_of(tmp_path, during, "seed=9")
    store = RunStore(run.storage, run.name)
    has_ended = standing_still(run, store, idle_s=14_400)
    with pytest.raises(BadInput), refusals_noted(other, store):
        raise BadInput("another run of this name")
    now_s += 14_401
    assert not has_ended(), "that was not this run"
    with pytest.raises(BadInput), refusals_noted(run, store):
        raise BadInput("the reward pays a spoiled recording")
    assert has_ended()
    store.storage.delete(store.ended)  # as a start does whose checks pass
    now_s += 61
    assert not has_ended()


def test_a_refusal_of_before_does_not_end_what_waits_for_machines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 1_000.0
    run = run_of(tmp_path)
    store = RunStore(run.storage, run.name)
    note_end(store, "5 starts in a row without a new checkpoint")
    monkeypatch.setattr(follow.time, "monotonic", lambda: now_s)
    monkeypatch.setattr(follow.time, "time", lambda: 2**40)
    has_ended = standing_still(run, store, idle_s=14_400)
    now_s += 14_000
    assert not has_ended()
    now_s += 401
    assert has_ended()


def test_the_container_that_merges_is_asked_and_may_refuse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_of(tmp_path)
    merged = tmp_path / "merged"
    (merged / "step_000007").mkdir(parents=True)
    models = MergedBeside(merged, RunStore(run.storage, run.name))
    assert not models.has(7), "what an earlier pod left may be half of it"

    def answer(_: float) -> None:
        assert (merged / "step_000010.wanted").is_file()
        (merged / "step_000010.refused").write_text("no such checkpoint")

    monkeypatch.setattr("ttsrl.evaluation.during.models.time.sleep", answer)
    with pytest.raises(Failure, match="no such checkpoint"):
        models.of(10)
    monkeypatch.setattr(
        "ttsrl.evaluation.during.models.time.sleep", lambda _: (merged / "step_000010").mkdir()
    )
    assert models.of(10) == merged / "step_000010"
    models.forget(10)
    assert not list(merged.glob("step_*"))


def test_a_log_tells_of_the_latest_step_though_older_ones_come_later() -> None:
    line = EvaluatedLine(40, "CER 10.0 % (judge, 64 texts), −2.0 points")
    log = f"waiting\n{line}\nevaluated 8/64\n{EvaluatedLine(20, 'CER 11.0 %')}\nstep 10 is gone\n"
    assert EvaluatedLine.newest_of(log) == line
    assert EvaluatedLine.newest_of("evaluated 8/64\n") is None
