"""Trackers that hang, come late or refuse: the others are told, and nothing is lost."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from mlflow import MlflowClient
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from support.mlflow_server import free_port, mlflow_server
from support.tracked_run import TrackedRun, wait_for
from ttsrl.errors import Failure
from ttsrl.tracking.beside import Trackers

LONGER_THAN_MLFLOW_TAKES = "x" * 300


@contextmanager
def hanging_server(port: int) -> Generator[None]:
    """Takes every connection and never answers."""
    with socket.create_server(("127.0.0.1", port)) as server:
        taken: list[socket.socket] = []

        def take() -> None:
            while True:
                try:
                    taken.append(server.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=take, daemon=True)
        thread.start()
        yield
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
        for one in taken:
            one.close()


def tensorboards_steps(run: TrackedRun) -> list[int]:
    [folder] = (run.folder / "trackers" / "tensorboard").iterdir()
    events = EventAccumulator(str(folder)).Reload()
    return [event.step for event in events.Scalars("train/step")]


def test_a_tracker_that_hangs_delays_no_other_and_gets_all_once_it_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    port = free_port()
    mlflow = {"type": "mlflow", "address": f"http://127.0.0.1:{port}"}
    run = TrackedRun(tmp_path, ["tensorboard", mlflow])
    run.log(1)
    run.log(2, raw={"cer": 0.2, LONGER_THAN_MLFLOW_TAKES: 1.0})
    follower = run.follow()
    try:
        with hanging_server(port):
            wait_for(lambda: (s := run.status("tensorboard")) and s.step == 2)
            wait_for(lambda: (s := run.status("mlflow")) and s.trouble)
            status = run.status("mlflow")
            assert status is not None
            assert status.step == 0
        run.log(3)
        with mlflow_server(tmp_path / "server", port) as address:
            wait_for(lambda: (s := run.status("mlflow")) and s.step == 3 and s.trouble is None)
            client = MlflowClient(address)
            experiment = client.get_experiment_by_name("ttsrl")
            assert experiment is not None
            [told] = client.search_runs([experiment.experiment_id])
            history = client.get_metric_history(told.info.run_id, "raw/cer")
            assert [metric.step for metric in history] == [1, 3]
            status = run.status("mlflow")
            assert status is not None
            assert status.dropped == 1
            assert status.errors > 0
    finally:
        os.killpg(follower.pid, signal.SIGKILL)
        follower.wait()
    assert tensorboards_steps(run) == [1, 2, 3]


def test_the_end_of_training_does_not_wait_long_for_a_tracker_that_is_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ttsrl.tracking.beside.LAST_WORDS_S", 1.0)
    mlflow = {"type": "mlflow", "address": f"http://127.0.0.1:{free_port()}"}
    run = TrackedRun(tmp_path, ["tensorboard", mlflow])
    run.log(1)
    with Trackers(run.run, run.config, run.folder) as trackers:

        def all_told() -> bool:
            trackers.look()
            status = {one.name: one for one in trackers.status}
            return (
                len(status) == 2
                and status["tensorboard"].step == 1
                and status["mlflow"].trouble is not None
            )

        wait_for(all_told)
    said = capsys.readouterr().out
    assert "tracker mlflow is behind, training continues" in said
    assert "tracker mlflow has the run up to step 0" in said
    assert tensorboards_steps(run) == [1]
    with pytest.raises(Failure, match="mlflow is behind"):
        run.tell_rest(patience_s=5)


def test_a_run_without_trackers_starts_nothing(tmp_path: Path) -> None:
    run = TrackedRun(tmp_path, [])
    with Trackers(run.run, run.config, run.folder) as trackers:
        trackers.look()
    assert not (run.folder / "logs").exists()


def test_training_continues_without_the_process_that_tells_trackers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ttsrl.tracking.beside.AGAIN_AFTER_S", 0.0)
    monkeypatch.setattr("ttsrl.tracking.beside.LOOK_EVERY_S", 0.0)
    run = TrackedRun(tmp_path, ["tensorboard"])
    (run.folder / "run.json").write_text("no run")
    with Trackers(run.run, run.config, run.folder) as trackers:
        said: list[str] = []

        def ends_told() -> int:
            trackers.look()  # raises nothing, however often that process ends
            said.append(capsys.readouterr().out)
            return "".join(said).count("what tells the trackers ended, training continues")

        wait_for(lambda: ends_told() >= 2)
        assert "Traceback" not in "".join(said)
