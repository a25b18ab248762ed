"""The evaluation of checkpoints beside training: killed, started again, with broken checkpoints.

Published models stand for checkpoints here, so that nothing is merged; test_train_job.py has verl's
own checkpoints.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from support.paths import TINY
from support.training_job import kill_family, start_following
from ttsrl.config.load import dump_run, load_run
from ttsrl.config.schema import RunConfig
from ttsrl.evaluation.during.beside import BesideTraining
from ttsrl.evaluation.during.evaluator import Beside, CheckpointEvaluator
from ttsrl.evaluation.during.models import MergedBeside
from ttsrl.records.during import CHANGE, ChangeFromBase, DuringTrainingState
from ttsrl.records.evaluation import REPORT, EvaluationReport
from ttsrl.records.record import parse
from ttsrl.storage.atomic import replace_text
from ttsrl.storage.run_store import RunStore

TEXTS = 6
DEADLINE_S = 600.0


@pytest.fixture
def run(tmp_path: Path) -> RunConfig:
    return load_run(
        TINY / "run.json",
        [
            f"eval.during_training.texts={TEXTS}",
            "eval.bootstrap_samples=100",
            "eval.greedy=false",
            "train.steps=30",
            "train.save_every=10",
            f"storage={tmp_path / 'storage'}",
        ],
    )


@pytest.fixture
def store(run: RunConfig) -> RunStore:
    """Storage of a run that has begun: its base is what its checkpoints are, too."""
    store = RunStore(run.storage, run.name)
    store.storage.write_json(store.run_json, run.model_dump(mode="json"))
    return store


def publish(store: RunStore, step: int, model: Path = TINY / "policy") -> None:
    """A checkpoint whose model is published, too."""
    store.storage.publish(model, store.model(step))
    store.storage.publish(TINY / "policy", store.checkpoint(step))


def wait_until(condition: Callable[[], bool], log: Path) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


def test_a_killed_evaluation_goes_on_and_does_nothing_twice(
    run: RunConfig, store: RunStore, tmp_path: Path
) -> None:
    log = tmp_path / "pod" / "log"
    publish(store, 10)
    first = start_following(run, tmp_path / "pod")
    wait_until(lambda: "evaluated step 0: CER" in log.read_text(), log)
    spoken = tmp_path / "pod" / "during" / "step_000010" / "rows.jsonl"
    wait_until(spoken.is_file, log)
    kill_family(first)
    assert store.list_evaluated("held_out.during") == [0], "half an evaluation is visible"
    base = store.storage.read_text(f"{store.eval('held_out.during', 0)}/{REPORT}")

    # another machine goes on, with a checkpoint that cannot be read among those of the meantime
    shutil.rmtree(tmp_path / "pod")
    broken = tmp_path / "broken"
    shutil.copytree(TINY / "policy", broken)
    (broken / "model.safetensors").write_bytes(b"nothing")
    publish(store, 20, broken)
    publish(store, 30)
    second = start_following(run, tmp_path / "pod")
    assert second.wait(DEADLINE_S) == 0, log.read_text()
    assert store.list_evaluated("held_out.during") == [0, 10, 30]
    assert store.storage.read_text(f"{store.eval('held_out.during', 0)}/{REPORT}") == base
    told = [line.partition(":")[0] for line in log.read_text().splitlines() if "step" in line]
    assert "evaluated step 0" not in told
    assert told.index("evaluated step 30") < told.index("evaluated step 10"), "newest first"
    assert "step 20 is not evaluated" in told
    state = parse(
        DuringTrainingState,
        store.storage.read_text(store.evaluation_state("held_out.during")) or "",
        "state",
    )
    assert (state.evaluated, state.waiting) == ([0, 10, 30], [])
    assert state.skipped.keys() == {"20"}
    assert "cannot be loaded" in state.skipped["20"]

    # the same weights, texts and seeds: nothing differs from the base, and only those judges heard
    for step in (10, 30):
        key = store.eval("held_out.during", step)
        text = store.storage.read_text(f"{key}/{CHANGE}") or ""
        moved = parse(ChangeFromBase, text, CHANGE).metrics["cer/judge"]["sampled"]
        assert moved is not None and moved.texts == TEXTS
        assert moved.difference.model_dump() == {"value": 0, "low": 0, "high": 0}
        assert moved.before == moved.after
        report = parse(EvaluationReport, store.storage.read_text(f"{key}/{REPORT}") or "", REPORT)
        assert [judge.name for judge in report.judges] == ["judge"]
        assert report.model == store.checkpoint(step)
    assert store.list_evaluated("held_out") == []
    best = store.storage.read_json(store.best)
    assert best is not None  # of equal models the earlier one
    assert (best["step"], best["suite"]) == (10, "held_out.during")

    # and a third one finds all done
    third = start_following(run, tmp_path / "another")
    assert third.wait(DEADLINE_S) == 0
    assert "evaluated" not in (tmp_path / "another" / "log").read_text().replace(
        "not evaluated", ""
    )


def test_a_merge_that_fails_is_tried_again_and_then_told(
    run: RunConfig, store: RunStore, tmp_path: Path
) -> None:
    """The other container of the pod refuses each time, as where its memory does not suffice."""
    run = run.model_copy(update={"train": run.train.model_copy(update={"steps": 10})})
    store.storage.publish(TINY / "policy", store.checkpoint(10))
    config = tmp_path / "run.json"
    config.write_text(dump_run(run))
    models = MergedBeside(tmp_path / "merged", store)
    beside = Beside(config, tmp_path / "data", tmp_path, {}, lambda: False, poll_s=0.01)
    evaluator = CheckpointEvaluator(run, store, models, beside)
    asked: list[str] = []
    over = threading.Event()

    def refuse() -> None:
        while not over.wait(0.01):
            for wanted in (tmp_path / "merged").glob("*.wanted"):
                wanted.unlink()
                asked.append(wanted.name)
                replace_text(wanted.with_suffix(".refused"), "was killed (is the memory full?)")

    neighbour = threading.Thread(target=refuse)
    neighbour.start()
    try:
        evaluator.follow()
    finally:
        over.set()
        neighbour.join()
    assert asked == 3 * ["step_000010.wanted"]
    assert evaluator.failures == 3
    said = "failed 3 times, last: was killed (is the memory full?)"
    assert evaluator.skipped == {10: said}
    state = store.storage.read_json(store.evaluation_state("held_out.during")) or {}
    assert (state["evaluated"], state["skipped"], state["failures"]) == ([0], {"10": said}, 3)


def test_other_texts_than_the_base_had_are_refused(
    run: RunConfig, store: RunStore, tmp_path: Path
) -> None:
    publish(store, 10)
    work_dir = tmp_path / "pod"
    job = start_following(run, work_dir)
    wait_until(lambda: "evaluated step 10: CER" in (work_dir / "log").read_text(), work_dir / "log")
    job.send_signal(signal.SIGTERM)
    assert job.wait(DEADLINE_S) == 143
    publish(store, 20)
    raw = json.loads(dump_run(run))
    raw["eval"]["during_training"]["texts"] = TEXTS - 1
    job = start_following(RunConfig.model_validate(raw), work_dir)
    assert job.wait(DEADLINE_S) == 2
    assert "other texts, settings or judges" in (work_dir / "log").read_text()
    assert store.list_evaluated("held_out.during") == [0, 10]


def test_beside_a_local_training_it_is_started_again_and_never_in_the_way(
    run: RunConfig, store: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ttsrl.evaluation.during.beside.RESTART_AFTER_S", 0.0)
    config = tmp_path / "run.json"
    config.write_text(dump_run(run))
    told: list[str] = []
    others = {one.pid for one in psutil.Process().children()}  # other tests' servers
    with BesideTraining(run, config, tmp_path, 0, told.append) as beside:

        def workers() -> list[psutil.Process]:
            """Those that compute; the reapers above them only wait."""
            found: list[psutil.Process] = []
            for job in psutil.Process().children():
                if job.pid in others:
                    continue
                with suppress(psutil.NoSuchProcess):
                    for one in job.children(recursive=True):
                        line = " ".join(one.cmdline())
                        if "ttsrl.runtime.call" in line and "reaper" not in line:
                            found.append(one)
            return found

        def look_until(condition: Callable[[], bool]) -> None:
            deadline = time.monotonic() + DEADLINE_S
            while not condition():
                beside.look()
                assert time.monotonic() < deadline, told
                time.sleep(0.05)

        look_until(lambda: any("evaluated step 0" in line for line in told))
        at_work = workers()
        assert at_work and {one.nice() for one in at_work} == {19}
        for one in at_work:
            one.kill()
        look_until(lambda: any("is started again, and training continues" in line for line in told))
        publish(store, 7)  # where training was stopped: no step that is due
    assert store.list_evaluated("held_out.during") == [0, 7]
    assert [line.partition(":")[0] for line in told if line.startswith("evaluated")] == [
        "evaluated step 0",
        "evaluated step 7",
    ]
    assert not workers()
    assert os.nice(0) < 19
