"""How a PyTorchJob's pods end: codes from 128 are started again by the operator, others are not."""

from __future__ import annotations

import json
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.paths import TINY
from ttsrl.config.load import config_hash, dump_run, load_run
from ttsrl.errors import BadInput
from ttsrl.runtime.exit_codes import BAD_INPUT, DONE, FAILED, STOPPED
from ttsrl.storage.run_store import RunStore
from ttsrl.training.pod_starts import AGAIN, PodStarts
from ttsrl.training.pytorchjob import take_part
from ttsrl.training.supervisor import train


def store_in(folder: Path) -> RunStore:
    return RunStore(str(folder), "r")


def publish_checkpoint(store: RunStore, folder: Path, step: int) -> None:
    part = folder / f"checkpoint-{step}"
    part.mkdir()
    (part / "weights").write_bytes(b"1")
    store.storage.publish(part, store.checkpoint(step))


def start(store: RunStore, code: int) -> int | None:
    """One start of the job whose training ends with a code; None where it may not train."""
    starts = PodStarts(store, 3)
    return starts.exit_code(code) if starts.begin() else None


def test_a_failure_is_tried_again_until_it_has_failed_too_often(tmp_path: Path) -> None:
    store = store_in(tmp_path / "storage")
    assert [start(store, FAILED) for _ in range(3)] == [AGAIN, AGAIN, FAILED]
    ended = store.storage.read_json(store.ended) or {}
    assert ended["why"] == "3 starts in a row without a new checkpoint"
    # whoever starts the job again begins to count anew
    assert [start(store, FAILED) for _ in range(3)] == [AGAIN, AGAIN, FAILED]


def test_a_new_checkpoint_begins_the_count_anew(tmp_path: Path) -> None:
    store = store_in(tmp_path / "storage")
    assert [start(store, FAILED) for _ in range(2)] == [AGAIN, AGAIN]
    publish_checkpoint(store, tmp_path, 10)
    assert [start(store, FAILED) for _ in range(3)] == [AGAIN, AGAIN, FAILED]


def test_starts_that_are_killed_are_counted_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = store_in(tmp_path / "storage")
    for _ in range(3):
        assert PodStarts(store, 3).begin()  # out of memory: no exit code of its own
    assert start(store, FAILED) is None
    assert "3 starts in a row without a new checkpoint: the job ends" in capsys.readouterr().out
    assert start(store, FAILED) == AGAIN


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Path]:
    """A run on two machines; SIGTERM means afterwards what it meant before."""
    before = signal.getsignal(signal.SIGTERM)
    settings = ["train.device=cpu", "train.nodes=2", f"storage={tmp_path / 'storage'}"]
    path = tmp_path / "run.json"
    path.write_text(dump_run(load_run(TINY / "run.json", settings)))
    yield path
    signal.signal(signal.SIGTERM, before)


def place(monkeypatch: pytest.MonkeyPatch, rank: int, port: int) -> None:
    variables = {"RANK": rank, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    for name, value in variables.items():
        monkeypatch.setenv(name, str(value))


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"exit": DONE}, DONE),
        ({"exit": BAD_INPUT}, BAD_INPUT),
        ({"exit": STOPPED}, STOPPED),  # the job ends, and says so
        ({"exit": AGAIN}, AGAIN),
        (None, AGAIN),  # rank 0's machine is lost
    ],
)
def test_a_pod_ends_as_rank_0_did_or_to_be_started_again(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    config: Path,
    said: dict[str, int] | None,
    code: int,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as master:
        place(monkeypatch, 1, master.getsockname()[1])

        def answer() -> None:
            connection, _ = master.accept()
            with connection:
                connection.recv(4096)
                if said is not None:
                    connection.sendall(json.dumps(said).encode() + b"\n")

        thread = threading.Thread(target=answer)
        thread.start()
        assert take_part(config, tmp_path / "work") == code
        thread.join(120)


def test_the_first_pod_does_not_begin_where_it_began_too_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: Path
) -> None:
    run = load_run(config)
    starts = PodStarts(RunStore(run.storage, run.name), 6)
    assert all(starts.begin() for _ in range(6))
    place(monkeypatch, 0, 1)
    assert take_part(config, tmp_path / "work", max_starts=6) == FAILED


def test_a_start_that_is_refused_says_so_in_storage(tmp_path: Path) -> None:
    never = '[{"name": "g", "when": [{"measure": "no_such", "above": 1}]}]'
    settings = [f"storage={tmp_path / 'storage'}", "train.device=cpu", "train.metrics_port=null"]
    settings.append("eval.during_training.every=1")  # a pod of its own waits for checkpoints
    run = load_run(TINY / "run.json", [*settings, f"guards.rules={never}"])
    path = tmp_path / "refused.json"
    path.write_text(dump_run(run))
    with pytest.raises(BadInput, match="no_such"):
        train(path, tmp_path / "work")
    store = RunStore(run.storage, run.name)
    ended = store.storage.read_json(store.ended) or {}
    assert "which this run does not log" in ended["why"]
    assert ended["config"] == config_hash(run)
