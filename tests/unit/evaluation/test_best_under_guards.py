"""best.json: the best held-out judge among the models that broke no guard."""

from __future__ import annotations

import json
from pathlib import Path

from support.paths import TINY
from support.records import report_of, row_of, step_of
from ttsrl.config.load import load_run
from ttsrl.evaluation.best import point_to_best
from ttsrl.records.evaluation import REPORT, ROWS
from ttsrl.records.record import to_line, to_text, write_lines
from ttsrl.storage.run_store import RunStore

ENDS = {
    "name": "ends",
    "when": [{"measure": "end_token_rate", "below": 0.5}],
    "in_a_row": 2,
}
NOISE = (-0.02, -0.01, 0.0, 0.01, 0.02)


def publish_evaluation(store: RunStore, folder: Path, step: int, cer: float) -> None:
    rows = [row_of(n, {"judge": cer + d}, mode="sampled") for n, d in enumerate(NOISE)]
    out = folder / f"eval{step}"
    out.mkdir()
    (out / REPORT).write_text(to_text(report_of({"sampled": {"judge": cer}})))
    write_lines(out / ROWS, rows)
    store.storage.publish(out, store.eval("held_out", step))
    model = folder / f"model{step}"
    model.mkdir()
    (model / "config.json").write_text("{}")
    if step:
        store.storage.publish(model, store.model(step))


def best_of(tmp_path: Path, cers: dict[int, float], bad: range) -> tuple[int | None, RunStore]:
    """Evaluations with these CERs, and a run whose end tokens failed at some steps."""
    store = RunStore(str(tmp_path / "storage"), "quickstart")
    for step, cer in cers.items():
        publish_evaluation(store, tmp_path, step, cer)
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
