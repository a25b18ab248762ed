from pathlib import Path

import pytest

from ttsrl.storage.errors import StorageError
from ttsrl.storage.run_store import RunStore
from ttsrl.training.checkpoints import keep, local_step, publish_checkpoint, restore, scan
from ttsrl.training.machines import Disk, TrainingMachine, by_disk, here

TRAINER = {"data.pt": "position", "log/steps.jsonl": '{"step": 1}\n'}


class FakeMachines:
    """Machines with a disk each: the trainer's without ranks, as a head on a CPU node is, and one
    a rank. A machine that is replaced comes back with an empty disk and another rank."""

    def __init__(self, folder: Path, store: RunStore, ranks: int = 2) -> None:
        self.folder, self.store, self.ranks = folder, store, ranks
        self.checkpoints = folder / "trainer" / "checkpoints"

    def machines(self, disks: list[str] | None = None) -> list[TrainingMachine]:
        disks = disks or [f"rank{rank}" for rank in range(self.ranks)]
        trainer = here(self._disk(self.checkpoints), ranks=())
        places = [self.folder / disk / "checkpoints" for disk in disks]
        others = [
            here(self._disk(place), [rank], runs_trainer=False) for rank, place in enumerate(places)
        ]
        return [trainer, *others]

    def save(self, step: int, content: str = "weights") -> None:
        """What verl leaves on the disks."""
        write(self.checkpoints / f"global_step_{step}", TRAINER)
        for rank in range(self.ranks):
            names = {"actor/fsdp_config.json": "{}"} if rank == 0 else {}
            for kind in ("model", "optim", "extra_state"):
                name = f"actor/{kind}_world_size_{self.ranks}_rank_{rank}.pt"
                names[name] = f"{content} {kind} {rank} {step}"
            write(self.folder / f"rank{rank}" / "checkpoints" / f"global_step_{step}", names)
        (self.checkpoints / "latest_checkpointed_iteration.txt").write_text(str(step))

    def publish(self, step: int) -> int:
        machines = self.machines()
        return publish_checkpoint(self.store, machines, step, scan(machines, step))

    def files(self, disk: str, step: int) -> set[str]:
        folder = self.folder / disk / "checkpoints" / f"global_step_{step}"
        return {f.relative_to(folder).as_posix() for f in folder.rglob("*") if f.is_file()}

    def _disk(self, checkpoints: Path) -> Disk:
        return Disk(self.store.storage.address(), "run", checkpoints)


def write(folder: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(str(tmp_path / "storage"), "run")


@pytest.fixture
def cluster(store: RunStore, tmp_path: Path) -> FakeMachines:
    return FakeMachines(tmp_path / "machines", store)


def test_a_new_run_starts_at_zero(store: RunStore, cluster: FakeMachines) -> None:
    assert restore(store, cluster.machines(), cluster.checkpoints) == 0


def test_new_machines_get_what_their_ranks_need_from_storage(
    store: RunStore, cluster: FakeMachines, tmp_path: Path
) -> None:
    cluster.save(4)
    size = cluster.publish(4)
    assert size == sum(
        f.stat().st_size for f in cluster.folder.rglob("*/global_step_4/**/*") if f.is_file()
    )
    new = FakeMachines(tmp_path / "new", store)
    assert restore(store, new.machines(), new.checkpoints) == 4
    assert local_step(new.checkpoints) == 4
    assert (new.checkpoints.parent / "steps.jsonl").read_text() == TRAINER["log/steps.jsonl"]
    for disk in ("trainer", "rank0", "rank1"):
        assert new.files(disk, 4) == cluster.files(disk, 4)
    assert {path.rpartition("_")[2] for path in new.files("rank1", 4)} == {"1.pt"}


def test_a_machine_that_gets_another_rank_gets_that_ranks_files(
    store: RunStore, cluster: FakeMachines
) -> None:
    cluster.save(4)
    cluster.publish(4)
    swapped = cluster.machines(["rank1", "rank0"])
    assert restore(store, swapped, cluster.checkpoints) == 4
    assert "actor/model_world_size_2_rank_0.pt" in cluster.files("rank1", 4)
    assert "actor/model_world_size_2_rank_1.pt" not in cluster.files("rank1", 4)


def test_a_checkpoint_that_was_saved_but_not_published_is_published(
    store: RunStore, cluster: FakeMachines
) -> None:
    cluster.save(6)
    assert restore(store, cluster.machines(), cluster.checkpoints) == 6
    assert store.newest_checkpoint() == 6


def test_a_checkpoint_whose_part_went_with_its_machine_is_given_up_for_the_published_one(
    store: RunStore, cluster: FakeMachines
) -> None:
    cluster.save(4)
    cluster.publish(4)
    cluster.save(6)
    machines = cluster.machines(["rank0", "replacement"])
    with pytest.raises(StorageError, match="rank_1"):
        publish_checkpoint(store, machines, 6, scan(machines, 6))
    assert restore(store, machines, cluster.checkpoints) == 4
    assert store.list_checkpoints() == [4]
    assert local_step(cluster.checkpoints) == 4
    assert cluster.files("rank0", 6) == set()
    assert "actor/optim_world_size_2_rank_1.pt" in cluster.files("replacement", 4)


def test_a_damaged_local_checkpoint_is_fetched_again(
    store: RunStore, cluster: FakeMachines
) -> None:
    cluster.save(3)
    cluster.publish(3)
    shard = cluster.folder / "rank1/checkpoints/global_step_3/actor/model_world_size_2_rank_1.pt"
    shard.write_text("weightX model 1 3")
    assert restore(store, cluster.machines(), cluster.checkpoints) == 3
    assert shard.read_text() == "weights model 1 3"


def test_half_written_checkpoints_are_removed_on_every_machine(
    store: RunStore, cluster: FakeMachines
) -> None:
    cluster.save(2)
    cluster.publish(2)
    write(cluster.folder / "rank1/checkpoints/global_step_4", {"actor/model.pt": "cut"})
    restore(store, cluster.machines(), cluster.checkpoints)
    assert cluster.files("rank1", 4) == set()
    assert cluster.files("rank1", 2)


def test_old_checkpoints_are_removed_on_every_machine(cluster: FakeMachines) -> None:
    for step in (1, 2, 3):
        cluster.save(step)
    keep(cluster.machines(), 3, 2)
    for disk in ("trainer", "rank0", "rank1"):
        assert cluster.files(disk, 1) == set()
        assert cluster.files(disk, 2)


def test_machines_that_share_a_disk_are_one(cluster: FakeMachines) -> None:
    apart = by_disk(cluster.machines())
    assert [sorted(machine.ranks) for machine in apart] == [[], [0], [1]]
    shared = by_disk(cluster.machines(["trainer", "trainer"]))
    assert [(sorted(m.ranks), m.runs_trainer) for m in shared] == [([0, 1], True)]
    assert not list(cluster.checkpoints.glob(".*")), "the marks are gone"


@pytest.mark.parametrize("ranks", [1, 3])
def test_machines_of_another_number_of_ranks_get_every_shard(
    store: RunStore, cluster: FakeMachines, tmp_path: Path, ranks: int
) -> None:
    cluster.save(4)
    cluster.publish(4)
    others = FakeMachines(tmp_path / "others", store, ranks)
    assert restore(store, others.machines(), others.checkpoints) == 4
    shards = {
        f"actor/{kind}_world_size_2_rank_{rank}.pt"
        for kind in ("model", "optim", "extra_state")
        for rank in range(2)
    }
    for rank in range(ranks):
        described = {"actor/fsdp_config.json"} if rank == 0 else set[str]()
        assert others.files(f"rank{rank}", 4) == shards | described
