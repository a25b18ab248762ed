"""The real trackers, read back: TensorBoard's files, an offline run of W&B, MLflow, Trackio."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from mlflow import MlflowClient
from mlflow.entities import Run
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from support.mlflow_server import free_port, mlflow_server
from support.tracked_run import TrackedRun, wait_for
from ttsrl.codecs.registry import load_codec
from ttsrl.tracking.wandb_files import history

STEPS = [1, 2, 3, 4]
NAMES = ("tensorboard", "wandb", "mlflow", "trackio")
FOUND = {"pitch": 2, "rate_up": 4}
"""Guard -> the step at which it tripped."""
BEST_TOKENS = [1, 2, 3, 4] * 5


@dataclass(frozen=True)
class ToldRun:
    """A run that four trackers were told of, by a process that was killed and by a second one."""

    run: TrackedRun
    server: str

    def folder(self, tracker: str) -> Path:
        return self.run.folder / "trackers" / tracker


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Generator[ToldRun]:
    folder = tmp_path_factory.mktemp("tracked")
    port = free_port()
    trackers: list[object] = [
        {"type": "mlflow", "address": f"http://127.0.0.1:{port}"} if name == "mlflow" else name
        for name in NAMES
    ]
    run = TrackedRun(folder, trackers)
    with mlflow_server(folder / "server", port) as address:
        run.evaluate("before")
        run.log(1, 2)
        run.trip("pitch", 2)
        first = run.follow()
        wait_for(lambda: all((s := run.status(name)) and s.step >= 2 for name in NAMES))
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
        run.log(3, 4)
        run.trip("rate_up", 4)
        run.evaluate("after")
        run.tell_rest()
        yield ToldRun(run, address)


def waveform() -> np.ndarray[Any, np.dtype[np.float32]]:
    return load_codec("examples/tiny/codec").decode([BEST_TOKENS])[0]


def same_sound(path: Path) -> bool:
    samples, _ = soundfile.read(path, dtype="float32")
    wanted = waveform()
    return len(samples) == len(wanted) and np.abs(samples - wanted).max() < 2 / 32767


def test_tensorboard_has_every_step_once_with_audio(told: ToldRun) -> None:
    [folder] = told.folder("tensorboard").iterdir()
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "audio": 0}).Reload()
    for tag, values in {"train/step": STEPS, "raw/cer": [0.1 * n for n in STEPS]}.items():
        found = events.Scalars(tag)
        assert [event.step for event in found] == STEPS
        assert [event.value for event in found] == pytest.approx(values)
    judge = told.run.run.eval.judges[0].name
    cer = events.Scalars(f"eval/held_out/sampled/cer/{judge}")
    assert [(e.step, round(e.value, 3)) for e in cer] == [(0, 0.55), (4, 0.15)]
    assert events.Scalars(f"eval/held_out/sampled/cer/{judge}/change")[0].value < 0
    clips = events.Audio("rollouts/best")
    assert [clip.step for clip in clips] == [1]
    wav = told.run.folder / "best.wav"
    wav.write_bytes(clips[0].encoded_audio_string)
    assert same_sound(wav)
    assert events.Audio("rollouts/gated_too_short")
    tensors: Any = events.Tags()["tensors"]
    assert {"about/text_summary", "verdict/text_summary", "rollouts/text_summary"} <= {*tensors}
    for guard, step in FOUND.items():  # each once, though the first process was killed
        assert [event.step for event in events.Scalars(f"guards/tripped/{guard}")] == [step]
    assert "guards/text_summary" in tensors


def test_tensorboards_files_are_in_storage_too(told: ToldRun) -> None:
    [local] = told.folder("tensorboard").iterdir()
    kept = Path(told.run.store.storage.address(f"{told.run.store.trackers}/tensorboard/files"))
    for path in local.iterdir():
        assert (kept / local.name / path.name).read_bytes() == path.read_bytes()


def steps_of(rows: list[dict[str, Any]]) -> list[int]:
    return [row["train/step"] for row in rows if "train/step" in row]


def test_wandbs_offline_runs_have_every_step_once_and_one_id(told: ToldRun) -> None:
    folder = told.folder("wandb")
    runs = sorted(folder.glob("wandb/offline-run-*/run-*.wandb"))
    assert len(runs) == 2
    assert len({path.name for path in runs}) == 1
    rows = [row for path in runs for row in history(path)]
    assert steps_of(rows) == STEPS
    verdicts = [row["verdict"] for row in rows if "verdict" in row]
    assert len(verdicts) == 1
    assert "cut the character error rate" in verdicts[0]
    evaluated = [row["eval/step"] for row in rows if "eval/step" in row]
    assert evaluated == [0, 4]
    found = [row for row in rows if "guards/event" in row]
    assert {row["guards/guard"]: row["guards/step"] for row in found} == FOUND
    assert len(found) == 2
    assert found[0]["guards/said"] == "guard pitch at step 2: too far"
    sounds = [path for path in folder.rglob("*") if path.is_file() and _is_wav(path)]
    assert any(same_sound(path) for path in sounds)


def mlflow_run(told: ToldRun) -> tuple[MlflowClient, Run]:
    client = MlflowClient(told.server)
    experiment = client.get_experiment_by_name("ttsrl")
    assert experiment is not None
    [run] = client.search_runs([experiment.experiment_id])
    return client, run


def test_mlflow_has_one_run_with_every_step_once(told: ToldRun) -> None:
    client, run = mlflow_run(told)
    history = client.get_metric_history(run.info.run_id, "raw/cer")
    assert [metric.step for metric in history] == STEPS
    assert [metric.value for metric in history] == pytest.approx([0.1 * n for n in STEPS])
    assert run.data.params["train/steps"] == "4"
    assert run.data.tags["reward specification"] == "abc"
    assert "cut the character error rate" in run.data.tags["verdict"]
    assert run.info.status == "FINISHED"
    assert run.data.tags["guards/rate_up"] == "guard rate_up at step 4: too far"
    for guard, step in FOUND.items():
        tripped = client.get_metric_history(run.info.run_id, f"guards/tripped/{guard}")
        assert [metric.step for metric in tripped] == [step]
    judge = told.run.run.eval.judges[0].name
    assert run.data.metrics[f"eval/held_out/sampled/cer/{judge}/high"] == pytest.approx(0.2)


def test_mlflow_has_rollouts_with_players(told: ToldRun) -> None:
    client, run = mlflow_run(told)
    names = {artifact.path for artifact in client.list_artifacts(run.info.run_id, "rollouts")}
    page, wav = "rollouts/step_000001.html", "rollouts/step_000001_best.wav"
    assert {page, wav} <= names
    stored = next(told.run.folder.parent.glob(f"server/artifacts/**/{wav}"))
    assert same_sound(stored)
    text = (stored.parent / Path(page).name).read_text()
    assert text.count("<audio controls") == 2
    assert "four red tigers" in text


def test_trackios_database_has_every_step_once_with_audio(told: ToldRun) -> None:
    with sqlite3.connect(told.folder("trackio") / "ttsrl.db") as database:
        logged = [
            (step, json.loads(metrics))
            for step, metrics in database.execute("SELECT step, metrics FROM metrics ORDER BY id")
        ]
        configs = database.execute("SELECT config FROM configs").fetchall()
    steps = [(step, row) for step, row in logged if "train/step" in row]
    assert [step for step, _ in steps] == STEPS
    best = steps[0][1]["rollouts/best"]
    assert same_sound(told.folder("trackio") / "media" / best["file_path"])
    assert steps[0][1]["rollouts"]["_value"][1]["gate"] == "too_short"
    verdicts = [row["verdict"]["_value"] for _, row in logged if "verdict" in row]
    assert len(verdicts) == 1
    assert json.loads(configs[0][0])["train"]["steps"] == 4
    found = [row for _, row in logged if "guards/event" in row]
    assert [(row["guards/guard"], row["guards/step"]) for row in found] == list(FOUND.items())


def _is_wav(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"RIFF"


def test_a_rollback_begins_another_run_of_the_tracker(tmp_path: Path) -> None:
    """The steps that were given up stay in the first; the second has the log as it is now."""
    run = TrackedRun(tmp_path, ["tensorboard"])
    run.log(1, 2, 3, reward=0.1)
    run.tell_rest()
    run.roll_back(to_step=2, at_step=3)
    run.tell_rest()  # the trainer has not yet taken the third step out of the log
    run.forget_after(2)
    run.log(3, 4, reward=0.7, ended_at_s=3_000_000.0)
    run.tell_rest()
    folder = run.folder / "trackers" / "tensorboard"
    told = {
        one.name.rpartition("-")[0]: {
            event.step: event.value
            for event in EventAccumulator(str(one)).Reload().Scalars("train/reward")
        }
        for one in folder.iterdir()
    }
    assert told == {
        "quickstart": pytest.approx({1: 0.1, 2: 0.1, 3: 0.1}),
        "quickstart-rollback-1": pytest.approx({1: 0.1, 2: 0.1, 3: 0.7, 4: 0.7}),
    }
    for one in folder.iterdir():
        found = EventAccumulator(str(one)).Reload().Scalars("guards/rolled_back/kl")
        assert [event.step for event in found] == [3]
