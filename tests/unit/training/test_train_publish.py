"""A checkpoint that ranks write beside the steps: when it counts, what becomes of a fault."""

import threading
from collections.abc import Sequence
from concurrent import futures
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from support.reward_server import TINY_RUN
from ttsrl.config.load import dump_run, load_run
from ttsrl.errors import Failure
from ttsrl.storage.run_store import RunStore
from ttsrl.training import publish
from ttsrl.training.checkpoints import local_step
from ttsrl.training.environment import REWARD, RUN
from ttsrl.training.machines import Disk, here
from ttsrl.training.shards import SHARDS, shard_name
from ttsrl.wire import ServiceSpec


class Saved:
    """A run whose trainer has saved step 2; its rank writes when it is let."""

    def __init__(self, folder: Path) -> None:
        self.run = load_run(TINY_RUN, [f"storage={folder / 'storage'}"])
        self.checkpoints = folder / "train" / "checkpoints"
        self.folder = self.checkpoints / "global_step_2"
        self.store = RunStore(self.run.storage, self.run.name)
        self.asked, self.may_write = threading.Event(), threading.Event()
        self.error: Failure | None = None

    def begin(self) -> publish.PublishCheckpoint:
        (self.folder / "actor").mkdir(parents=True)
        (self.folder / "data.pt").touch()
        log = self.folder.parents[1] / "steps.jsonl"
        log.write_text('{"step": 2}\n')
        disk = here(Disk(self.run.storage, self.run.name, self.checkpoints))
        trainer = SimpleNamespace(machines=[disk], actor_rollout_wg=SimpleNamespace(workers=[self]))
        publisher = publish.PublishCheckpoint()
        publisher.on_save(trainer, 2, str(self.folder), async_save=True)
        publisher.on_logged([log])
        return publisher

    def write(self, workers: Sequence[Any]) -> float:
        """Stands for Ray's actors, which would have to be started."""
        assert list(workers) == [self]
        self.asked.set()
        assert self.may_write.wait(120)
        if self.error is not None:
            raise self.error
        (self.folder / "actor" / "fsdp_config.json").write_text("{}")
        for kind in SHARDS:
            (self.folder / "actor" / shard_name(kind, 1, 0)).write_text(kind)
        return 1.5


@pytest.fixture
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Saved:
    saved = Saved(tmp_path)
    spec = ServiceSpec(
        spec_hash="0",
        specification={},
        versions={},
        codec="codec",
        codebook_size=8,
        sample_rate_hz=16_000,
        tokens_per_s=50.0,
    )
    monkeypatch.setenv(RUN, dump_run(saved.run))
    monkeypatch.setenv(REWARD, spec.model_dump_json())
    monkeypatch.setattr(publish, "wait_written", saved.write)
    return saved


def test_a_checkpoint_counts_when_every_rank_has_written(saved: Saved) -> None:
    publisher = saved.begin()
    assert saved.asked.wait(120)
    assert local_step(saved.checkpoints) == 0 and saved.store.list_checkpoints() == []
    publisher.on_logged([])  # of a step that saves none
    saved.may_write.set()
    publisher.wait()
    assert local_step(saved.checkpoints) == 2 and saved.store.list_checkpoints() == [2]
    [event] = (saved.folder.parents[1] / "checkpoints.jsonl").read_text().splitlines()
    assert '"write_seconds":1.5' in event.replace(" ", "")


def test_a_write_that_failed_ends_the_step_that_is_under_way(saved: Saved) -> None:
    saved.error = Failure("the disk is full")
    publisher = saved.begin()
    saved.may_write.set()
    assert publisher.under_way is not None
    futures.wait([publisher.under_way], 120)
    with pytest.raises(Failure, match="the disk is full"):
        publisher.on_logged([])
    with pytest.raises(Failure, match="the disk is full"):
        publisher.wait()
    assert local_step(saved.checkpoints) == 0 and saved.store.list_checkpoints() == []
