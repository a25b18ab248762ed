"""What is checked before a run with trackers starts, names of figures, lines of a growing log."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.records import step_of
from support.tracked_run import logged_step
from ttsrl.config.load import load_run
from ttsrl.config.tracking import (
    MlflowConfig,
    TensorboardConfig,
    TrackerConfig,
    TrackioConfig,
    WandbConfig,
)
from ttsrl.errors import BadInput
from ttsrl.records.record import append_lines, write_lines
from ttsrl.records.step import TrainingStep
from ttsrl.tracking.figures import of_step
from ttsrl.tracking.lines import Lines
from ttsrl.tracking.registry import PACKAGES, check_trackers

TINY = "examples/tiny/run.json"
KEYS = ("WANDB_API_KEY", "HF_TOKEN", "TRACKIO_WRITE_TOKEN", "MLFLOW_TRACKING_URI")


@pytest.fixture(autouse=True)
def without_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for key in (*KEYS, "WANDB_BASE_URL", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(key, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)


@pytest.mark.parametrize(
    ("trackers", "message"),
    [
        ('["wnadb"]', "did you mean 'wandb'"),
        ('["wandb", {"type": "wandb"}]', "'wandb' is named twice"),
        ('[{"type": "mlflow", "address": "https://me:secret@host"}]', "password or a token"),
        ('[{"type": "trackio", "address": "http://h:1/?write_token=secret"}]', "a token in it"),
        ('[{"type": "wandb", "address": "https://h/?api_key=secret"}]', "a token in it"),
        ('[{"type": "mlflow", "address": "host:5000"}]', "http://HOST"),
        ('[{"type": "trackio", "space": "a/b", "address": "http://h"}]', "leave one out"),
        ('[{"type": "wandb", "rollouts_every": -1}]', "greater than or equal to 0"),
    ],
)
def test_a_wrong_tracker_is_explained(trackers: str, message: str) -> None:
    with pytest.raises(BadInput) as error:
        load_run(TINY, [f"trackers={trackers}"])
    assert message in str(error.value)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("tracker", "way_out"),
    [
        (WandbConfig(type="wandb", online=True), "WANDB_API_KEY"),
        (TrackioConfig(type="trackio", space="me/runs"), "HF_TOKEN"),
        (TrackioConfig(type="trackio", address="http://host"), "TRACKIO_WRITE_TOKEN"),
    ],
)
def test_a_key_that_is_missing_is_told_before_the_start(
    tracker: TrackerConfig, way_out: str
) -> None:
    with pytest.raises(BadInput, match=way_out):
        check_trackers([tracker], in_cluster=False)


def test_wandbs_key_may_be_in_netrc(tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text("machine api.wandb.ai\n  login user\n  password key\n")
    check_trackers([WandbConfig(type="wandb", online=True)], in_cluster=False)
    own = WandbConfig(type="wandb", online=True, address="https://wandb.example.org")
    with pytest.raises(BadInput, match="WANDB_API_KEY"):
        check_trackers([own], in_cluster=False)


def test_a_tracker_that_is_not_installed_is_told_before_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(PACKAGES, "mlflow", ["not_installed_here"])
    with pytest.raises(BadInput, match=r"pip install 'ttsrl\[mlflow\]'"):
        check_trackers([MlflowConfig(type="mlflow")], in_cluster=False)


def test_a_pods_disk_is_no_place_for_a_database(monkeypatch: pytest.MonkeyPatch) -> None:
    for tracker in (MlflowConfig(type="mlflow"), TrackioConfig(type="trackio")):
        check_trackers([tracker], in_cluster=False)
        with pytest.raises(BadInput, match="the pod, whose disk"):
            check_trackers([tracker], in_cluster=True)
    kept = [TensorboardConfig(type="tensorboard"), WandbConfig(type="wandb")]
    check_trackers(kept, in_cluster=True)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow")
    check_trackers([MlflowConfig(type="mlflow")], in_cluster=True)


def test_every_number_of_a_step_has_a_name() -> None:
    step = logged_step(3)
    figures = of_step(step)
    line = step.model_dump()
    numbers = {k for k, v in line.items() if isinstance(v, int | float)} - {"cer", "utility_cer"}
    assert {f"train/{key}" for key in numbers} <= figures.keys()
    assert figures["train/step"] == 3
    assert figures["raw/cer"] == pytest.approx(0.3)
    assert figures["utility/cer"] == 0.5
    assert figures["train/gated_reasons/too_short"] == 1
    assert figures["train/seconds_by_stage/update"] == 0.5
    assert "train/entropy" not in figures
    strange = of_step(step_of(1, gated_reasons={"zu kurz & leise/ß": 1}))
    assert "train/gated_reasons/zu kurz _ leise__" in strange


def test_lines_of_a_growing_log_come_once_and_anew_after_a_resume(tmp_path: Path) -> None:
    path = tmp_path / "steps.jsonl"
    lines = Lines(path, TrainingStep)
    assert lines.peek() is None

    def taken() -> list[int]:
        found: list[int] = []
        while (step := lines.peek()) is not None:
            found.append(step.step)
            lines.take()
        return found

    append_lines(path, [step_of(1), step_of(2), step_of(3)])
    with path.open("a") as file:
        file.write('{"step": 4')
    assert taken() == [1, 2, 3]
    resumed = tmp_path / "resumed"
    write_lines(resumed, [step_of(1), step_of(2), step_of(3, reward=0.7), step_of(4)])
    resumed.replace(path)
    assert taken() == [1, 2, 3, 4]
