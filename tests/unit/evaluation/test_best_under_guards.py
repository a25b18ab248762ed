"""best.json: the best held-out judge among the models that broke no guard."""

from __future__ import annotations

import json
from pathlib import Path

from support.beside_training import DURING, beside_training, publish_evaluation, publish_model
from support.paths import TINY
from support.records import step_of
from ttsrl.config.load import dump_run, load_run
from ttsrl.evaluation.best import point_to_best
from ttsrl.evaluation.published_run import bring_run
from ttsrl.evaluation.report.inputs import read_run_folder
from ttsrl.records.best import BEST
from ttsrl.records.record import to_line
from ttsrl.storage.run_store import RunStore

ENDS = {
    "name": "ends",
    "when": [{"measure": "end_token_rate", "below": 0.5}],
    "in_a_row": 2,
}


def best_of(tmp_path: Path, cers: dict[int, float], bad: range) -> tuple[int | None, RunStore]:
    """Evaluations with these CERs, and a run whose end tokens failed at some steps."""
    store = RunStore(str(tmp_path / "storage"), "quickstart")
    for step, cer in cers.items():
        publish_evaluation(store, tmp_path, step, cer)
        if step:
            publish_model(store, tmp_path, step)
    (tmp_path / "work").mkdir()
    steps = [step_of(n, end_token_rate=0.1 if n in bad else 1.0) for n in range(1, 41)]
    store.storage.write_text(store.steps_log, "".join(f"{to_line(s)}\n" for s in steps))
    run = load_run(TINY / "run.json", [f"guards.rules={json.dumps([ENDS])}"])
    return point_to_best(run, store, "held_out", tmp_path / "work"), store


CERS = {0: 0.3, 10: 0.25, 20: 0.2, 30: 0.1}


def test_the_best_is_not_one_that_broke_a_guard_and_best_json_says_so(tmp_path: Path) -> None:
    best, store = best_of(tmp_path, CERS, range(29, 32))
    assert best == 20
    pointer = store.storage.read_json(store.best)
    assert pointer is not None
    assert (pointer["step"], pointer["left_out"]) == (20, {"30": ["ends"]})
    assert pointer["why"] == (
        "step 20 has the lowest held-out CER of 2 models that may be chosen: 20.0 % (judge, 5 "
        "texts of held_out), −10.0 points against the base (95 % interval −10.0 to −10.0); left "
        "out, as a guard was broken: step 30 (ends)"
    )
    assert json.loads((tmp_path / "work" / BEST).read_text()) == pointer


def test_without_a_broken_guard_it_is_the_best_of_all(tmp_path: Path) -> None:
    best, store = best_of(tmp_path, CERS, range(30, 31))  # once is not twice in a row
    assert best == 30
    assert (store.storage.read_json(store.best) or {})["left_out"] == {}


def test_a_model_that_is_worse_than_the_base_while_the_reward_rises_is_none(
    tmp_path: Path,
) -> None:
    best, store = best_of(tmp_path, {0: 0.3, 10: 0.25}, range(5, 15))
    assert best is None
    assert store.storage.read_json(store.best) is None


def test_the_report_of_a_published_run_knows_the_best_and_forgets_it_with_storage(
    tmp_path: Path,
) -> None:
    _, store = best_of(tmp_path, CERS, range(29, 32))
    store.storage.write_text(store.run_json, dump_run(load_run(TINY / "run.json")))
    bring_run(store, tmp_path / "brought")
    best = read_run_folder(tmp_path / "brought").best
    assert best is not None
    assert best.why.startswith("step 20 has the lowest held-out CER")

    store.storage.delete(store.best)
    bring_run(store, tmp_path / "brought")
    assert read_run_folder(tmp_path / "brought").best is None


def test_the_best_checkpoint_is_published_as_a_model_while_training_runs(tmp_path: Path) -> None:
    evaluator = beside_training(tmp_path)
    store = evaluator.store
    publish_evaluation(store, tmp_path, 0, 0.3, DURING)
    for step, cer in {10: 0.2, 20: 0.25}.items():
        publish_evaluation(store, tmp_path, step, cer, DURING)
    evaluator.point_to_best()
    pointer = store.storage.read_json(store.best) or {}
    assert (pointer["step"], pointer["suite"]) == (10, DURING)
    assert store.list_models() == [10]  # of the others none is kept
    model = store.storage.read_text(f"{store.model(10)}/config.json")
    assert model == '{"step": 10}'
    assert not evaluator.models.has(10)

    publish_evaluation(store, tmp_path, 30, 0.1, DURING)
    evaluator.point_to_best()
    assert (store.storage.read_json(store.best) or {})["step"] == 30
    assert store.list_models() == [10, 30]


def test_what_a_guard_found_beside_training_keeps_a_model_from_being_the_best(
    tmp_path: Path,
) -> None:
    evaluator = beside_training(tmp_path)
    store = evaluator.store
    publish_evaluation(store, tmp_path, 0, 0.3, DURING)
    publish_evaluation(store, tmp_path, 10, 0.35, DURING)
    steps = [step_of(n, reward=0.5 + 0.01 * n) for n in range(1, 11)]
    store.storage.write_text(store.steps_log, "".join(f"{to_line(s)}\n" for s in steps))
    evaluator.point_to_best()
    assert store.storage.read_json(store.best) is None

    # the whole suite's evaluation of the same model does not make up for it
    publish_model(store, tmp_path, 10)
    publish_evaluation(store, tmp_path, 0, 0.3)
    publish_evaluation(store, tmp_path, 10, 0.29)
    assert point_to_best(evaluator.run, store, "held_out", tmp_path) is None


def test_models_are_compared_by_the_evaluations_that_most_of_them_have(tmp_path: Path) -> None:
    evaluator = beside_training(tmp_path)
    run, store = evaluator.run, evaluator.store
    for step in (10, 20):
        publish_model(store, tmp_path, step)
    for step, cer in {0: 0.3, 10: 0.1, 20: 0.2}.items():
        publish_evaluation(store, tmp_path, step, cer, DURING)
    for step, cer in {0: 0.3, 20: 0.05}.items():
        publish_evaluation(store, tmp_path, step, cer)
    assert point_to_best(run, store, "held_out", tmp_path) == 10
    publish_evaluation(store, tmp_path, 10, 0.15)
    assert point_to_best(run, store, "held_out", tmp_path) == 20  # the whole suite has both, too
