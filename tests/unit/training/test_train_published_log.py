import json
from pathlib import Path

import pytest

from support.paths import TINY
from support.records import report_of
from ttsrl.config.load import load_run
from ttsrl.records.during import (
    ChangeEstimate,
    ChangeFromBase,
    DuringTrainingState,
    MetricChange,
)
from ttsrl.records.record import to_text
from ttsrl.storage.run_store import RunStore
from ttsrl.training.metrics import TrainMetrics
from ttsrl.training.published_log import PublishedLog

TINY_RUN = TINY / "run.json"


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(str(tmp_path / "storage"), "quickstart")


@pytest.fixture
def metrics() -> TrainMetrics:
    return TrainMetrics(load_run(TINY_RUN), "cpu")


def append(train_dir: Path, text: str) -> None:
    train_dir.mkdir(exist_ok=True)
    with (train_dir / "steps.jsonl").open("a") as file:
        file.write(text)


def test_whole_lines_of_the_step_log_are_in_storage_while_it_grows(
    store: RunStore, metrics: TrainMetrics, tmp_path: Path
) -> None:
    log = PublishedLog(store, tmp_path / "train", metrics)
    log.upload()
    assert store.storage.read_text(store.steps_log) is None
    append(tmp_path / "train", '{"step": 1}\n{"step": 2, "cut')
    log.upload()
    assert store.storage.read_text(store.steps_log) == '{"step": 1}\n'
    append(tmp_path / "train", ' short": 0}\n')
    log.upload()
    text = store.storage.read_text(store.steps_log) or ""
    assert [json.loads(line)["step"] for line in text.splitlines()] == [1, 2]


def test_what_ends_the_run_finds_its_last_step_in_storage(
    store: RunStore, metrics: TrainMetrics, tmp_path: Path
) -> None:
    with PublishedLog(store, tmp_path / "train", metrics):
        append(tmp_path / "train", '{"step": 1}\n')
    assert store.storage.read_text(store.steps_log) == '{"step": 1}\n'


def test_storage_that_fails_is_counted_and_stops_nothing(
    store: RunStore, metrics: TrainMetrics, tmp_path: Path
) -> None:
    (tmp_path / "storage").write_text("no folder")
    with PublishedLog(store, tmp_path / "train", metrics):
        append(tmp_path / "train", '{"step": 1}\n')
    assert metrics.log_upload_errors >= 1


def test_the_newest_published_evaluation_is_found(
    store: RunStore, metrics: TrainMetrics, tmp_path: Path
) -> None:
    for step, cer in ((10, 0.5), (20, 0.25)):
        out = tmp_path / f"eval{step}"
        out.mkdir()
        report = report_of({"greedy": {"judge": cer, "deaf": None}})
        (out / "report.json").write_text(to_text(report))
        store.storage.publish(out, store.eval("held-out", step))
    PublishedLog(store, tmp_path / "train", metrics).look_for_evaluations()
    found = metrics.held_out["held-out"]
    assert (found.step, dict(found.cer)) == (20, {("judge", "greedy"): 0.25})


def test_a_checkpoint_evaluated_beside_training_comes_with_its_change_and_the_state(
    store: RunStore, tmp_path: Path
) -> None:
    run = load_run(TINY_RUN, ["eval.during_training.every=1"])
    metrics = TrainMetrics(run, "cpu")
    out = tmp_path / "evaluation"
    out.mkdir()
    (out / "report.json").write_text(to_text(report_of({"sampled": {"judge": 0.25}})))
    estimate = ChangeEstimate(value=-0.1, low=-0.2, high=0.05)
    moved = MetricChange(before=estimate, after=estimate, difference=estimate, texts=8)
    change = ChangeFromBase(step=20, metrics={"cer/judge": {"sampled": moved, "greedy": None}})
    (out / "change.json").write_text(to_text(change))
    store.storage.publish(out, store.eval("held_out.during", 20))
    state = DuringTrainingState(evaluated=[0, 20], waiting=[30], at_s=1.0)
    store.storage.write_json(store.evaluation_state("held_out.during"), state.model_dump())
    PublishedLog(store, tmp_path / "train", metrics).look_for_evaluations()
    found = metrics.held_out["held_out.during"]
    assert (found.step, dict(found.cer)) == (20, {("judge", "sampled"): 0.25})
    assert dict(found.cer_change) == {("judge", "sampled"): estimate}
    assert metrics.during_training == state
